//! A client that publishes packages, all different, several at a time.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::generate::Dice;

/// Publishes `count` packages and prints how many a second.
pub(crate) async fn upload(url: &str, count: u64, parallel: usize, drawn: bool) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::new();
    let name = format!("bench{}", std::process::id());
    let account = json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse"});
    client.post(format!("{url}/api/v1/auth/register")).json(&account).send().await?.error_for_status()?;
    let login = client.post(format!("{url}/api/v1/auth/login")).json(&account).send().await?;
    let token = login.json::<Value>().await?["data"]["access_token"].as_str().context("no token")?.to_owned();
    let packages: Arc<Vec<Vec<u8>>> =
        Arc::new((0..count).map(|n| package(&format!("{name}-{n}"), n, drawn)).collect::<Result<_, _>>()?);
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let workers = (0..parallel).map(|_| {
        let (client, token, packages, next) = (client.clone(), token.clone(), packages.clone(), next.clone());
        let address = format!("{url}/api/v1/plugins");
        tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(package) = packages.get(at) else { return anyhow::Ok(()) };
                let file = Part::bytes(package.clone()).file_name("p.tar.gz");
                let request =
                    client.post(&address).bearer_auth(&token).multipart(Form::new().part("plugin_file", file));
                let answer = request.send().await?;
                anyhow::ensure!(answer.status() == 201, "{}", answer.text().await?);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    println!("{:.0}", count as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

fn package(id: &str, number: u64, drawn: bool) -> anyhow::Result<Vec<u8>> {
    let info = json!({"id": id, "name": id, "version": "1.0.0", "description": "a benchmark", "author": "bench",
        "scripts": [{"name": "run", "file": "run.sh", "description": "runs"}]});
    let mut script = "#!/bin/sh\necho hello\n".to_owned();
    if drawn {
        let mut dice = Dice(number);
        // The logarithm is equally distributed; of four letters that mean nothing, three bytes are left by compression.
        let size = 2_048.0 * (dice.fraction() * 512_f64.ln()).exp();
        for i in 0..(size * 4.0 / 3.0) as u64 {
            script.push(if i % 77 == 0 { '\n' } else { char::from(b';' + dice.below(64) as u8) });
        }
    }
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in [("info.json", info.to_string()), ("scripts/run.sh", script)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes())?;
    }
    let mut done = archive.into_inner()?;
    done.flush()?;
    Ok(done.finish()?)
}
