//! What the program does besides answering requests: its command line.

mod admin;
mod health;
mod import;
mod search;
mod serve;
mod service;
mod start;
mod store;

pub use start::{connect, open_app};

use std::{convert::Infallible, path::PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// The GeekTools plugin marketplace.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where settings come from.
#[derive(Args)]
struct Settings {
    /// File with settings; ./config.toml is read when it is there
    #[arg(long, global = true, env = "MARKETPLACE_CONFIG", value_name = "FILE", value_parser = path)]
    config: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, global = true)]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, global = true)]
    port: Option<String>,
    /// Folder for all state
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Sets any setting, e.g. --set limits.enabled=false
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

/// A path that may be empty, as clap's own may not.
fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server (what happens without a command)
    Serve {
        /// Opens the registry of services at 127.0.0.1:8001 and the gateway at 127.0.0.1:8000, unless configured otherwise
        #[arg(long)]
        document_ports: bool,
    },
    /// Brings the database's tables up to date
    Migrate,
    /// Makes and changes administrators
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Publishes packages and folders of packages
    Import(import::Import),
    /// Asks the server on this machine whether it is ready; the exit code tells
    Health,
    /// Looks after the search index
    #[command(subcommand)]
    Search(search::Search),
    /// Looks after the packages on disk
    #[command(subcommand)]
    Store(store::Store),
    /// Looks at services that have registered
    #[command(subcommand)]
    Service(service::Service),
    /// Looks at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Checks all settings and prints them, secrets hidden
    Check,
}

impl Settings {
    fn load(&self) -> anyhow::Result<Config> {
        // An empty variable sets nothing.
        let file = self.config.clone().filter(|path| !path.as_os_str().is_empty());
        let file = file.or_else(|| Some(PathBuf::from("config.toml")).filter(|path| path.is_file()));
        let text = match &file {
            Some(path) => {
                Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => None,
        };
        let name = file.map(|path| path.display().to_string()).unwrap_or_default();
        let mut flags = self.set.clone();
        for (key, value) in [("server.host", &self.host), ("server.port", &self.port), ("data_dir", &self.data_dir)] {
            flags.extend(value.clone().map(|value| (key.to_owned(), value)));
        }
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Config::load(text.as_deref().map(|text| (name.as_str(), text)), environment, &flags)
    }
}

impl Cli {
    /// Runs the command. The configuration and the runtime come only now: help and a wrong command line need neither.
    ///
    /// # Errors
    /// Anything that stops the command, for a person to read.
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
        runtime.block_on(run(self.command.unwrap_or(Command::Serve { document_ports: false }), config))
    }
}

async fn run(command: Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Serve { document_ports } => serve::serve(config, document_ports).await,
        Command::Migrate => {
            let database = connect(&config).await?;
            println!("the database is up to date");
            database.close().await
        }
        Command::Admin(command) => admin::run(&config, command).await,
        Command::Import(command) => import::run(config, command).await,
        Command::Search(command) => search::run(config, command).await,
        Command::Health => health::run(&config).await,
        Command::Store(command) => store::run(&config, command).await,
        Command::Service(command) => service::run(&config, command).await,
        Command::Config(ConfigCommand::Check) => {
            print!("{}", toml::to_string(&config)?);
            Ok(())
        }
    }
}
