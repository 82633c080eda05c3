//! API keys, for those who may hand them out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use ziet_core::{KeyId, ProjectId, Scope, Time};
use ziet_store::Tx;
use ziet_store::keys::{self, KeyRecord};

use crate::auth::{Admin, Allowed, Caller};
use crate::body::{ONE, Payload};
use crate::keys::NewKey;
use crate::page::Page;
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::routes::Paging;
use crate::schema;

/// An API key, without what only its owner knows.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyDocument {
    #[schema(value_type = schema::Id)]
    id: KeyId,
    name: String,
    /// The project that it belongs to; null if it may act for all.
    #[schema(required, value_type = Option<String>)]
    project_id: Option<ProjectId>,
    #[schema(value_type = Vec<schema::Scope>)]
    scopes: Vec<Scope>,
    /// How it begins, so that people can tell keys apart.
    prefix: String,
    #[schema(value_type = schema::Timestamp)]
    created_at: Time,
    /// To about a minute.
    #[schema(required, value_type = Option<schema::Timestamp>)]
    last_used_at: Option<Time>,
    /// Since when it is good for nothing.
    #[schema(required, value_type = Option<schema::Timestamp>)]
    revoked_at: Option<Time>,
}

impl From<KeyRecord> for KeyDocument {
    fn from(record: KeyRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            project_id: record.project,
            scopes: record.scopes,
            prefix: record.prefix,
            created_at: record.created_at,
            last_used_at: record.last_used_at,
            revoked_at: record.revoked_at,
        }
    }
}

/// List keys
///
/// The oldest first, revoked ones included: those of the caller's project, or all for a key that may act for all.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", operation_id = "list_keys", params(Paging),
    responses((status = 200, description = "A page of keys.", body = Page<KeyDocument>)),
    security(("api_key" = ["admin"])))]
pub(crate) async fn list(
    caller: Allowed<Admin>,
    State(platform): State<Arc<Platform>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let limit = params.limit()?;
    let after: Option<KeyId> = params.cursor("cursor")?;
    params.end()?;
    let project = caller.key.project.clone();
    let verb =
        async move |tx: &mut Tx<'_>| keys::page(tx, project.as_ref(), after, limit + 1).await;
    let room = caller.room().await?;
    let keys = platform.read(&room, verb).await?.into_iter();
    room.answer(&Page::cut(keys.map(KeyDocument::from), limit, |key| key.id))
}

/// A key that is to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do. `admin` includes the others; they include none.
    #[schema(value_type = Vec<schema::Scope>, min_items = 1)]
    scopes: Vec<Scope>,
    /// Whether it may act for all projects; only for the scope `admin`, and only from a key that may do so itself. Otherwise
    /// it belongs to the project of the request.
    #[serde(default)]
    all_projects: bool,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKeyDocument {
    #[serde(flatten)]
    document: KeyDocument,
    /// The key itself. It is shown this once.
    #[schema(pattern = "^sk_[0-9a-f]{64}$")]
    key: String,
}

/// Make a key
///
/// The answer holds the key, which is not kept: it cannot be shown again.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", operation_id = "create_key", request_body = KeyRequest,
    responses((status = 201, description = "The key.", body = NewKeyDocument)),
    security(("api_key" = ["admin"])))]
pub(crate) async fn create(
    caller: Allowed<Admin>,
    State(platform): State<Arc<Platform>>,
    params: Params,
    body: Payload<ONE>,
) -> Result<(StatusCode, Json<NewKeyDocument>), Problem> {
    params.end()?;
    let wanted: KeyRequest = body.parse()?;
    let project = wanted.project(&caller)?;
    let secret = NewKey::random().map_err(Problem::internal)?;
    let now = platform.settings.clock.now();
    let record = KeyRecord {
        id: KeyId::new(now),
        project,
        name: wanted.name,
        scopes: wanted.scopes,
        hash: secret.hash,
        prefix: secret.prefix,
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    let kept = record.clone();
    platform
        .write(async move |tx: &mut Tx<'_>| keys::create(tx, &kept).await)
        .await?;
    platform.keys.add(&record);
    let document = NewKeyDocument {
        document: record.into(),
        key: secret.text,
    };
    Ok((StatusCode::CREATED, Json(document)))
}

impl KeyRequest {
    /// Which project the key is for, if the caller may make such a key.
    fn project(&self, caller: &Caller) -> Result<Option<ProjectId>, Problem> {
        let invalid = |detail: &'static str| Err(Problem::new(Code::InvalidRequest, detail));
        let chars = self.name.chars().count();
        if self.name.trim().is_empty() || chars > 200 || self.name.contains(char::is_control) {
            return invalid("`name` has 1 to 200 characters that can be shown");
        }
        let twice = |(place, scope)| self.scopes[..place].contains(scope);
        if self.scopes.is_empty() || self.scopes.iter().enumerate().any(twice) {
            return invalid("`scopes` names at least one scope, and none twice");
        }
        if !self.all_projects {
            return Ok(Some(caller.project()?.id.clone()));
        }
        if !self.scopes.contains(&Scope::Admin) {
            return invalid("only a key with the scope `admin` can be for all projects");
        }
        if caller.key.project.is_some() {
            let detail = "your key belongs to one project, so it makes no key for all of them";
            return Err(Problem::new(Code::WrongProject, detail));
        }
        Ok(None)
    }
}

/// Revoke a key
///
/// From then on it is good for nothing. A key may revoke itself.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revoke_key",
    params(("id" = schema::Id, Path, description = "The key.")),
    responses((status = 204, description = "It is revoked.")),
    security(("api_key" = ["admin"])))]
pub(crate) async fn revoke(
    caller: Allowed<Admin>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.end()?;
    let id: KeyId = name.id(Code::KeyNotFound)?;
    let found = async move |tx: &mut Tx<'_>| keys::find(tx, id).await;
    let found = platform.read(&caller.room().await?, found).await?;
    let own = caller.key.project.as_ref();
    let missing = || {
        Problem::new(
            Code::KeyNotFound,
            format!("there is no key {id} that could be revoked"),
        )
    };
    let key = found
        .filter(|key| key.revoked_at.is_none() && (own.is_none() || key.project.as_ref() == own))
        .ok_or_else(missing)?;
    let now = platform.settings.clock.now();
    platform
        .write(async move |tx: &mut Tx<'_>| keys::revoke(tx, id, now).await)
        .await?;
    platform.keys.remove(&key.hash);
    Ok(StatusCode::NO_CONTENT)
}

/// The key of a request, and who answered it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnKeyDocument {
    #[serde(flatten)]
    document: KeyDocument,
    /// The version of the server.
    server_version: &'static str,
}

/// Get the key of the request
///
/// By this a client sees whether its key is valid, and what it may do.
#[utoipa::path(get, path = "/v1/key", tag = "keys", operation_id = "get_own_key",
    responses((status = 200, description = "The key.", body = OwnKeyDocument)),
    security(("api_key" = [])))]
pub(crate) async fn own(
    caller: Caller,
    State(platform): State<Arc<Platform>>,
    params: Params,
) -> Result<Json<OwnKeyDocument>, Problem> {
    params.end()?;
    let id = caller.key.id;
    let found = async move |tx: &mut Tx<'_>| keys::find(tx, id).await;
    let found = platform.read(&caller.room().await?, found).await?;
    // Revoked and deleted between the look at the key and this one.
    let gone = || Problem::new(Code::KeyInvalid, "the key was revoked");
    Ok(Json(OwnKeyDocument {
        document: found.ok_or_else(gone)?.into(),
        server_version: env!("CARGO_PKG_VERSION"),
    }))
}
