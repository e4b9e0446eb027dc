//! `marketplace admin`: what must be possible before there is an administrator.

use std::io::Read;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use sqlx::PgPool;

use super::start::connect;
use crate::{
    accounts::random_hex,
    accounts::{self, NewUser, Passwords},
    config::Config,
    data::{audit, database},
};

/// Who acts, in the audit log.
const ACTOR: &str = "command line";

#[derive(Subcommand)]
pub(super) enum Admin {
    /// Makes an administrator's account
    Create(Create),
    /// Makes a user an administrator
    Promote {
        /// The user
        username: String,
    },
    /// Disables an account: it is refused with its next request
    Disable {
        /// The user
        username: String,
    },
}

#[derive(Args)]
pub(super) struct Create {
    /// Name of the account
    username: String,
    /// E-mail address; NAME@localhost.invalid when not given
    #[arg(long)]
    email: Option<String>,
    /// Password; made and printed when not given
    #[arg(long, env = "MARKETPLACE_ADMIN_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Reads the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run(config: &Config, command: Admin) -> anyhow::Result<()> {
    let database = connect(config).await?;
    let done = act(&database.pool, command).await;
    database.close().await?;
    done
}

async fn act(db: &PgPool, command: Admin) -> anyhow::Result<()> {
    match command {
        Admin::Create(create) => create_admin(db, create).await,
        Admin::Promote { username } => {
            let id = find(db, &username).await?;
            let mut tx = database::begin(db).await?;
            accounts::set_role(&mut *tx, id, "admin").await?;
            audit::record(&mut tx, ACTOR, "user.role.admin", &format!("user:{id}"), None).await?;
            tx.commit().await?;
            println!("{username} is an administrator now");
            Ok(())
        }
        Admin::Disable { username } => {
            let id = find(db, &username).await?;
            let mut tx = database::begin(db).await?;
            accounts::set_active(&mut *tx, id, false).await?;
            audit::record(&mut tx, ACTOR, "user.disable", &format!("user:{id}"), None).await?;
            tx.commit().await?;
            println!("{username} is disabled now");
            Ok(())
        }
    }
}

async fn find(db: &PgPool, username: &str) -> anyhow::Result<i64> {
    accounts::find_user(db, username).await?.with_context(|| format!("there is no user {username}"))
}

async fn create_admin(db: &PgPool, create: Create) -> anyhow::Result<()> {
    // An empty variable sets nothing.
    let (password, is_made) = match (create.password.filter(|given| !given.is_empty()), create.password_stdin) {
        (Some(_), true) => bail!("give the password once: --password, MARKETPLACE_ADMIN_PASSWORD or --password-stdin"),
        (Some(password), false) => (password, false),
        (None, true) => {
            let mut password = String::new();
            std::io::stdin().read_to_string(&mut password)?;
            (password.trim_end_matches(['\r', '\n']).to_owned(), false)
        }
        (None, false) => (random_hex(12), true),
    };
    let username = create.username;
    let email = create.email.unwrap_or_else(|| format!("{username}@localhost.invalid"));
    let new = NewUser::checked(&username, &email, &password)?;
    let hash = Passwords::default().hash(password).await?;
    let mut tx = database::begin(db).await?;
    let id = accounts::create_admin(&mut tx, &new, &hash).await?;
    audit::record(&mut tx, ACTOR, "user.create.admin", &format!("user:{id}"), None).await?;
    tx.commit().await?;
    println!("administrator {username} made");
    if is_made {
        println!("password: {}", new.password);
    }
    Ok(())
}

/// The account that `import` publishes as, made when absent; nobody knows its password.
pub(super) async fn find_or_create_owner(db: &PgPool, username: &str, is_default: bool) -> anyhow::Result<i64> {
    if let Some(id) = accounts::find_user(db, username).await? {
        return Ok(id);
    }
    if !is_default {
        bail!("there is no user {username}; register first, or leave out --owner");
    }
    let hash = Passwords::default().hash(random_hex(32)).await?;
    let email = format!("{username}@localhost.invalid");
    let new =
        NewUser { username: username.to_owned(), email, password: String::new(), display_name: "GeekTools".into() };
    Ok(accounts::create_user(db, &new, &hash).await?)
}
