//! The least that taking a package costs: a bare handler that writes it to a temporary file, hashes it, brings it to the
//! disk under its name, and inserts one row.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Multipart, State},
    http::StatusCode,
    routing::post,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tempfile::NamedTempFile;

struct Floor {
    folder: PathBuf,
    db: PgPool,
}

/// The routes that `upload` needs; packages are kept in `folder`.
pub(crate) async fn router(folder: &Path, database: &str) -> anyhow::Result<Router> {
    std::fs::create_dir_all(folder)?;
    let db = PgPool::connect(database).await?;
    sqlx::query("create table if not exists floor (hash text primary key, size bigint not null)").execute(&db).await?;
    let floor = Arc::new(Floor { folder: folder.to_owned(), db });
    let sign_in = async || Json(json!({"data": {"access_token": "none"}}));
    Ok(Router::new()
        .route("/api/v1/auth/register", post(sign_in))
        .route("/api/v1/auth/login", post(sign_in))
        .route("/api/v1/plugins", post(async |floor, form| receive(floor, form).await.map_err(|e| e.to_string())))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(floor))
}

async fn receive(State(floor): State<Arc<Floor>>, mut form: Multipart) -> anyhow::Result<(StatusCode, Json<Value>)> {
    let (mut file, mut hash, mut size) = (NamedTempFile::new_in(&floor.folder)?, Sha256::new(), 0_i64);
    while let Some(mut field) = form.next_field().await? {
        while let Some(chunk) = field.chunk().await? {
            file.write_all(&chunk)?;
            hash.update(&chunk);
            size += chunk.len() as i64;
        }
    }
    let hash = hex::encode(hash.finalize());
    let (folder, name) = (floor.folder.clone(), floor.folder.join(&hash));
    tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        file.as_file().sync_all()?;
        file.persist(name)?;
        Ok(std::fs::File::open(folder)?.sync_all()?)
    })
    .await??;
    sqlx::query("insert into floor (hash, size) values ($1, $2)").bind(&hash).bind(size).execute(&floor.db).await?;
    Ok((StatusCode::CREATED, Json(json!({"hash": hash}))))
}
