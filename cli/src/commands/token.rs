//! `imgsweep token`: of a server that is asked, or of one whose data folder is here.

use std::path::Path;
use std::sync::Arc;

use adapters_embedded::{Database, SqliteStore};
use anyhow::{Context, bail};
use comfy_table::Table;
use domain::ports::{AccessStore, Creation};
use domain::{AccessToken, Scope};
use http::Method;
use http_api::new_secret;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::BadArguments;
use crate::args::token::{CreateArgs, RevokeArgs, ServerArgs, TokenAction, TokenArgs};
use crate::client::ApiClient;
use crate::screen::print_data;

/// The state file of a data folder.
const STATE_FILE: &str = "state.sqlite";

pub(super) async fn token(args: TokenArgs) -> anyhow::Result<()> {
    match args.action {
        TokenAction::Create(args) => create(args).await,
        TokenAction::List(args) => list(&args).await,
        TokenAction::Revoke(args) => revoke(&args).await,
    }
}

/// Where the tokens are.
enum Server {
    Asked(Box<ApiClient>),
    Here(Arc<dyn AccessStore>),
}

impl ServerArgs {
    fn open(&self) -> anyhow::Result<Server> {
        if let (Some(endpoint), Some(token)) = (&self.endpoint, &self.token) {
            let client = ApiClient::new(endpoint, token)?;
            return Ok(Server::Asked(Box::new(client)));
        }
        Ok(Server::Here(store_of(&self.data)?))
    }
}

/// The store of a data folder, beside the process that may be at work on it: SQLite lets both write.
fn store_of(data: &Path) -> anyhow::Result<Arc<dyn AccessStore>> {
    std::fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
    let database = Database::open(data.join(STATE_FILE))
        .with_context(|| format!("{} cannot be opened", data.display()))?;
    Ok(Arc::new(SqliteStore::new(database)))
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let scope = Scope::from(args.scope);
    let secret = match args.server.open()? {
        Server::Asked(client) => {
            let wanted = json!({
                "name": args.name, "owner": args.owner, "scope": scope,
                "requests_per_minute": args.requests_per_minute, "uploads_per_day": args.uploads_per_day,
            });
            let made = client
                .json(Method::POST, "/api/v1/tokens", Some(&wanted))
                .await?;
            let secret = made["token"]
                .as_str()
                .context("the server named no token")?;
            secret.to_owned()
        }
        Server::Here(store) => {
            check_name(&args.name)?;
            check_name(args.owner.as_deref().unwrap_or(&args.name))?;
            let (secret, sha256) = new_secret().context("no random numbers for a token")?;
            let token = AccessToken {
                owner: args.owner.unwrap_or_else(|| args.name.clone()),
                name: args.name.clone(),
                scope,
                sha256,
                created_at: Timestamp::now(),
                revoked_at: None,
                requests_per_minute: args.requests_per_minute,
                uploads_per_day: args.uploads_per_day,
            };
            if store.create_token(&token).await? == Creation::AlreadyThere {
                bail!(BadArguments(format!(
                    "there is a token {:?}; names are never given twice (give the new one --owner to share its batches)",
                    args.name
                )));
            }
            secret
        }
    };
    print_data(&format!("{secret}\n"))?;
    eprintln!("The token {:?} ({scope}) is not shown again.", args.name);
    Ok(())
}

/// The same rule as the API's.
fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.@-".contains(letter);
    if (1..=100).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    bail!(BadArguments(format!(
        "{name:?} is no name of a token: 1 to 100 letters, digits, `_`, `.`, `@` and `-`"
    )))
}

async fn list(args: &ServerArgs) -> anyhow::Result<()> {
    let tokens: Vec<Value> = match args.open()? {
        Server::Asked(client) => {
            let answer = client.json(Method::GET, "/api/v1/tokens", None).await?;
            answer["data"].as_array().cloned().unwrap_or_default()
        }
        Server::Here(store) => {
            let tokens = store.tokens().await?;
            let shown = tokens.iter().map(serde_json::to_value);
            shown.collect::<Result<_, _>>()?
        }
    };
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["name", "owner", "scope", "created", "revoked"]);
    for token in &tokens {
        let cell = |field: &str| token[field].as_str().unwrap_or("-").to_owned();
        table.add_row([
            cell("name"),
            cell("owner"),
            cell("scope"),
            cell("created_at"),
            cell("revoked_at"),
        ]);
    }
    print_data(&format!("{table}\n"))?;
    Ok(())
}

async fn revoke(args: &RevokeArgs) -> anyhow::Result<()> {
    let name = &args.name;
    let is_revoked = match args.server.open()? {
        Server::Asked(client) => {
            let path = format!("/api/v1/tokens/{name}");
            client.json(Method::DELETE, &path, None).await?;
            true
        }
        Server::Here(store) => store.revoke_token(name, Timestamp::now()).await?,
    };
    if !is_revoked {
        bail!(BadArguments(format!("there is no token {name:?}")));
    }
    eprintln!("Within seconds nobody is let in with the token {name:?} any more.");
    Ok(())
}
