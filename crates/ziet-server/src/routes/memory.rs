//! Memories: their entries as they are listed, looked up and searched, and those that come from outside any run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use ziet_core::limits::{self, JSON_BYTES, MEMORY_BYTES, METADATA_BYTES};
use ziet_core::memory::{self as rules, Entry, Search};
use ziet_core::{ActionId, EntryId, Json as Value, MemoryId, ProjectId, RunId, Time};
use ziet_store::memory::{self, Found};
use ziet_store::{Added, StoreError, Tx, runs};

use crate::auth::{Allowed, Caller, Read, Run};
use crate::body::{ONE, Payload};
use crate::page::Page;
use crate::params::{Named, Params, wrong};
use crate::platform::{Look, Platform, Project};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::share::Taken;
use crate::{schema, strict};

/// One value that was added to a memory. Adding a key again makes a new entry; the newest one is its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct MemoryEntry {
    #[schema(value_type = schema::Id)]
    entry_id: EntryId,
    key: String,
    /// Any JSON.
    #[schema(value_type = serde_json::Value)]
    value: Value,
    /// A JSON object, or null.
    #[schema(required, value_type = Option<Object>)]
    metadata: Option<Value>,
    #[schema(value_type = schema::Timestamp)]
    created_at: Time,
    /// The run that added it; null for what came from outside any run.
    #[schema(required, value_type = Option<schema::Id>)]
    run_id: Option<RunId>,
    /// The attempt that added it.
    #[schema(required, minimum = 1)]
    attempt: Option<u32>,
}

impl From<Entry> for MemoryEntry {
    fn from(entry: Entry) -> Self {
        let Entry {
            entry_id,
            key,
            value,
            metadata,
            created_at,
            run_id,
            attempt,
        } = entry;
        Self {
            entry_id,
            key,
            value,
            metadata,
            created_at,
            run_id,
            attempt,
        }
    }
}

/// Which entries are wanted. At most one of `key` and a search (`query`, `filter`) can be given.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
struct Wanted {
    /// Only the newest entry under this key: its value.
    key: Option<String>,
    /// Search: words that must all occur in the key or the value, whatever their case.
    query: Option<String>,
    /// Search: a JSON object whose members must stand in the metadata.
    #[param(example = r#"{"kind": "note"}"#)]
    filter: Option<String>,
    /// The most entries in a page; 20 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; not beside `key`.
    cursor: Option<String>,
}

/// What is to be done, as the query says it.
enum Question {
    Newest(String),
    Search(Search, Option<u64>),
}

impl Question {
    fn take(params: &mut Params) -> Result<Self, Problem> {
        let (key, query, filter) = (
            params.text("key")?,
            params.text("query")?,
            params.text("filter")?,
        );
        let (limit, before) = (params.limit()?, params.cursor("cursor")?);
        if let Some(key) = key {
            if query.is_some() || filter.is_some() || before.is_some() {
                let detail = "`key` gives one entry: leave out `query`, `filter` and `cursor`";
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            return Ok(Self::Newest(key));
        }
        let object =
            |text: &String| Value::parse(text).map_err(|_| wrong("filter", "is a JSON object"));
        let search = Search {
            query,
            filter: filter.as_ref().map(object).transpose()?,
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        Ok(Self::Search(search, before))
    }

    async fn ask(
        &self,
        tx: &mut Tx<'_>,
        project: &ProjectId,
        of: MemoryId,
    ) -> ziet_store::Result<Found> {
        match self {
            Self::Newest(key) => {
                let found = memory::newest(tx, project, of, key).await?;
                Ok(Found {
                    entries: found.into_iter().collect(),
                    scanned_to: None,
                })
            }
            Self::Search(search, before) => memory::page(tx, project, of, search, *before).await,
        }
    }

    fn limit(&self) -> usize {
        match self {
            Self::Newest(_) => 1,
            Self::Search(search, _) => search.limit as usize,
        }
    }
}

/// Read the memory of a run
///
/// The newest entry first: all of them, those that match a search, or the newest one under a `key`. A request looks only
/// at so many bytes: a page may hold fewer entries than `limit`, even none, although `has_more` is true; then go on with
/// `next_cursor`.
#[utoipa::path(get, path = "/v1/runs/{id}/memory", tag = "memory", operation_id = "list_run_memory",
    params(("id" = schema::Id, Path, description = "The run."), Wanted),
    responses((status = 200, description = "A page of entries.", body = Page<MemoryEntry>)),
    security(("api_key" = ["read"])))]
pub(crate) async fn of_run(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Response, Problem> {
    let run = name.run()?;
    let question = Question::take(&mut params)?;
    params.end()?;
    let room = caller.room().await?;
    let of = memory_of(caller.look(&room, run)?).await?;
    answer(&caller, &platform, room, of, question).await
}

/// Read a memory
///
/// As the memory of a run is read, by the id that runs name as their `memory_id`.
#[utoipa::path(get, path = "/v1/memories/{id}", tag = "memory", operation_id = "list_memory",
    params(("id" = schema::Id, Path, description = "The memory."), Wanted),
    responses((status = 200, description = "A page of entries.", body = Page<MemoryEntry>)),
    security(("api_key" = ["read"])))]
pub(crate) async fn of_id(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Response, Problem> {
    let of = name.id(Code::MemoryNotFound)?;
    let question = Question::take(&mut params)?;
    params.end()?;
    let room = caller.room().await?;
    answer(&caller, &platform, room, of, question).await
}

async fn answer(
    caller: &Caller,
    platform: &Platform,
    room: Taken,
    of: MemoryId,
    question: Question,
) -> Result<Response, Problem> {
    let (project, limit) = (caller.project()?.id.clone(), question.limit());
    let verb = async move |tx: &mut Tx<'_>| {
        require(tx, &project, of).await?;
        question.ask(tx, &project, of).await
    };
    let found = platform.read(&room, verb).await?;
    let entries = found.entries.into_iter().map(MemoryEntry::from).collect();
    room.answer(&Page::new(entries, limit, found.scanned_to))
}

/// Refuses the id of a memory that the project does not have.
async fn require(tx: &mut Tx<'_>, project: &ProjectId, of: MemoryId) -> ziet_store::Result<()> {
    let found = memory::find(tx, project, of).await?;
    found.map(drop).ok_or(StoreError::NoMemory(of))
}

async fn memory_of(look: Look<'_>) -> Result<MemoryId, Problem> {
    Ok(look.read(runs::summary).await?.memory_id)
}

/// What is to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEntry {
    /// What the value is found by.
    #[schema(min_length = 1, max_length = 512)]
    key: String,
    /// Any JSON, of 6 MB at most.
    #[schema(value_type = serde_json::Value)]
    value: Box<RawValue>,
    /// A JSON object that searches can ask for.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
}

impl NewEntry {
    fn check(self, project: &Project, now: Time) -> Result<Entry, Problem> {
        let invalid = |detail: String| Problem::new(Code::InvalidMemory, detail);
        rules::check_key(&self.key).map_err(invalid)?;
        let action = self.key.strip_suffix(".error").map(ActionId::new);
        let catalogue = project.engine.catalogue();
        if action.is_some_and(|id| catalogue.is_some_and(|known| known.get(&id).is_some())) {
            let detail = format!(
                "the key {:?} is kept for the errors of that action",
                self.key
            );
            return Err(invalid(detail));
        }
        let (value, _) = taken("value", &self.value, JSON_BYTES)?;
        let metadata = self.metadata.as_deref();
        let metadata = metadata.map(|text| taken("metadata", text, METADATA_BYTES));
        let metadata = metadata.transpose()?;
        if metadata.as_ref().is_some_and(|(_, is_object)| !is_object) {
            return Err(invalid("the metadata is to be a JSON object".to_owned()));
        }
        Ok(Entry {
            entry_id: EntryId::new(now),
            key: self.key,
            value,
            metadata: metadata.map(|(json, _)| json),
            created_at: now,
            run_id: None,
            attempt: None,
        })
    }
}

/// JSON that code can be given, as it came; and whether it is an object.
fn taken(name: &str, text: &RawValue, limit: usize) -> Result<(Value, bool), Problem> {
    let refused = |what: String| {
        let detail = format!("the {name} cannot be taken: {what}");
        Problem::new(Code::InvalidMemory, detail)
    };
    let text = text.get();
    if let Some(excess) = limits::excess(text.len(), limit) {
        return Err(refused(excess));
    }
    let value = strict::value(text).map_err(|error| refused(error.to_string()))?;
    Ok((Value::trusted(text.as_bytes()), value.is_object()))
}

/// Add to the memory of a run
///
/// The entry is durable when this is answered.
#[utoipa::path(post, path = "/v1/runs/{id}/memory", tag = "memory", operation_id = "add_to_memory",
    params(("id" = schema::Id, Path, description = "The run.")), request_body = NewEntry,
    responses((status = 201, description = "The entry.", body = MemoryEntry),
        (status = 409, description = "The memory holds as much as it may.", body = ProblemDocument, content_type = "application/problem+json")),
    security(("api_key" = ["run"])))]
pub(crate) async fn add(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    params: Params,
    body: Payload<ONE>,
) -> Result<(StatusCode, Json<MemoryEntry>), Problem> {
    let run = name.run()?;
    params.end()?;
    let entry = body.parse()?;
    let of = memory_of(caller.look(&caller.room().await?, run)?).await?;
    add_entry(&caller, &platform, of, entry).await
}

/// Add to a memory
///
/// By the id that runs name as their `memory_id`. The entry is durable when this is answered.
#[utoipa::path(post, path = "/v1/memories/{id}", tag = "memory", operation_id = "add_to_memory_by_id",
    params(("id" = schema::Id, Path, description = "The memory.")), request_body = NewEntry,
    responses((status = 201, description = "The entry.", body = MemoryEntry),
        (status = 409, description = "The memory holds as much as it may.", body = ProblemDocument, content_type = "application/problem+json")),
    security(("api_key" = ["run"])))]
pub(crate) async fn add_to_id(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    params: Params,
    body: Payload<ONE>,
) -> Result<(StatusCode, Json<MemoryEntry>), Problem> {
    let of = name.id(Code::MemoryNotFound)?;
    params.end()?;
    add_entry(&caller, &platform, of, body.parse()?).await
}

async fn add_entry(
    caller: &Caller,
    platform: &Platform,
    of: MemoryId,
    entry: NewEntry,
) -> Result<(StatusCode, Json<MemoryEntry>), Problem> {
    let project = caller.project()?;
    let entry = entry.check(project, platform.settings.clock.now())?;
    let (project, added) = (project.id.clone(), entry.clone());
    let verb = async move |tx: &mut Tx<'_>| memory::add(tx, &project, of, &added).await;
    match platform.write(verb).await? {
        Added::Yes => Ok((StatusCode::CREATED, Json(entry.into()))),
        Added::Full { bytes } => Err(Problem::new(
            Code::MemoryFull,
            format!("with this entry the memory would hold {bytes} bytes, limit {MEMORY_BYTES}"),
        )),
    }
}

/// Which entries go.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
struct UnwantedParams {
    /// The one entry with this id.
    entry_id: Option<schema::Id>,
    /// All entries under this key.
    key: Option<String>,
}

/// Exactly one of the two is given.
struct Unwanted {
    entry: Option<EntryId>,
    key: Option<String>,
}

impl Unwanted {
    fn take(params: &mut Params) -> Result<Self, Problem> {
        let entry = params.value("entry_id", "the id of an entry")?;
        let key = params.text("key")?;
        if entry.is_some() == key.is_some() {
            return Err(Problem::new(
                Code::InvalidRequest,
                "give either `entry_id` or `key`",
            ));
        }
        Ok(Self { entry, key })
    }
}

/// What went.
#[derive(Serialize, ToSchema)]
pub(crate) struct Removed {
    /// How many entries there were.
    removed: u64,
}

/// Remove from the memory of a run
///
/// Either one entry by its id, or all under a key.
#[utoipa::path(delete, path = "/v1/runs/{id}/memory", tag = "memory", operation_id = "remove_from_memory",
    params(("id" = schema::Id, Path, description = "The run."), UnwantedParams),
    responses((status = 200, description = "How many entries there were.", body = Removed)),
    security(("api_key" = ["run"])))]
pub(crate) async fn remove(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Json<Removed>, Problem> {
    let run = name.run()?;
    let unwanted = Unwanted::take(&mut params)?;
    params.end()?;
    let of = memory_of(caller.look(&caller.room().await?, run)?).await?;
    remove_entries(&caller, &platform, of, unwanted).await
}

/// Remove from a memory
///
/// By the id that runs name as their `memory_id`: either one entry by its id, or all under a key.
#[utoipa::path(delete, path = "/v1/memories/{id}", tag = "memory", operation_id = "remove_from_memory_by_id",
    params(("id" = schema::Id, Path, description = "The memory."), UnwantedParams),
    responses((status = 200, description = "How many entries there were.", body = Removed)),
    security(("api_key" = ["run"])))]
pub(crate) async fn remove_from_id(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Json<Removed>, Problem> {
    let of = name.id(Code::MemoryNotFound)?;
    let unwanted = Unwanted::take(&mut params)?;
    params.end()?;
    remove_entries(&caller, &platform, of, unwanted).await
}

async fn remove_entries(
    caller: &Caller,
    platform: &Platform,
    of: MemoryId,
    unwanted: Unwanted,
) -> Result<Json<Removed>, Problem> {
    let project = caller.project()?.id.clone();
    let verb = async move |tx: &mut Tx<'_>| {
        require(tx, &project, of).await?;
        let (entry, key) = (unwanted.entry, unwanted.key.as_deref());
        memory::remove(tx, &project, of, entry, key).await
    };
    Ok(Json(Removed {
        removed: platform.write(verb).await?,
    }))
}
