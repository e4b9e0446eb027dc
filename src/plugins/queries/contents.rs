//! What is inside large packages.

use sqlx::{PgConnection, PgExecutor, query, query_as};

use crate::error::Result;

/// What is inside a package; what the bytes mean is known to whoever keeps them.
pub struct KeptContents {
    /// The list of its files.
    pub files: Vec<u8>,
    /// Their texts.
    pub texts: Vec<Vec<u8>>,
}

/// Keeps what is inside a version's package.
pub async fn insert_contents(db: &mut PgConnection, version: i64, contents: &KeptContents) -> Result<()> {
    query!(
        "insert into package_contents (version_id, files, texts) values ($1, $2, $3)",
        version,
        contents.files,
        &contents.texts
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was kept of a version's package.
pub async fn kept_contents(db: impl PgExecutor<'_>, version: i64) -> Result<Option<KeptContents>> {
    let kept = query_as!(KeptContents, "select files, texts from package_contents where version_id = $1", version);
    Ok(kept.fetch_optional(db).await?)
}
