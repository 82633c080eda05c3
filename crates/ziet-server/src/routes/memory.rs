//! Memories: their entries as they are listed, looked up and searched, and those that come from outside any run.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use ziet_core::limits::{JSON_BYTES, MEMORY_BYTES, METADATA_BYTES};
use ziet_core::memory::{self as rules, Entry, Search};
use ziet_core::{ActionId, EntryId, Json as Value, MemoryId, ProjectId, RunId, Time};
use ziet_store::{Added, Tx, memory, runs};

use crate::auth::{Allowed, Read, Run};
use crate::body::{ONE, Payload};
use crate::page::Page;
use crate::params::{Named, Params, wrong};
use crate::platform::{Platform, Project};
use crate::problem::{Code, Problem, ProblemDocument};
use crate::schema;

/// A page ends when it holds so much, so that no answer takes more than that and one entry.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

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
    /// `next_cursor` of the page before. Not for searches, which give the newest that match.
    cursor: Option<String>,
}

/// What is to be done, as the query says it.
enum Question {
    All { before: Option<u64>, limit: usize },
    Newest(String),
    Search(Search),
}

impl Question {
    fn take(params: &mut Params) -> Result<Self, Problem> {
        let (key, query, filter) = (
            params.text("key")?,
            params.text("query")?,
            params.text("filter")?,
        );
        let (limit, before) = (params.limit()?, params.cursor("cursor")?);
        match (key, query, filter, before) {
            (None, None, None, before) => Ok(Self::All { before, limit }),
            (Some(key), None, None, None) => Ok(Self::Newest(key)),
            (None, query, filter, None) => {
                let object = |text: &String| {
                    Value::parse(text).map_err(|_| wrong("filter", "is a JSON object"))
                };
                let filter = filter.as_ref().map(object).transpose()?;
                let limit = u32::try_from(limit).unwrap_or(u32::MAX);
                Ok(Self::Search(Search {
                    query,
                    filter,
                    limit,
                }))
            }
            _ => Err(Problem::new(
                Code::InvalidRequest,
                "give `key`, or `query` and `filter`, or `cursor`, but not several of them",
            )),
        }
    }

    async fn ask(
        &self,
        tx: &mut Tx<'_>,
        project: &ProjectId,
        of: MemoryId,
    ) -> ziet_store::Result<(Vec<Entry>, Option<u64>)> {
        match self {
            Self::All { before, limit } => page(tx, project, of, *before, *limit).await,
            Self::Newest(key) => {
                let found = memory::newest(tx, project, of, key).await?;
                Ok((found.into_iter().collect(), None))
            }
            Self::Search(search) => Ok((memory::search(tx, project, of, search).await?, None)),
        }
    }

    fn limit(&self) -> usize {
        match self {
            Self::All { limit, .. } => *limit,
            Self::Newest(_) => 1,
            Self::Search(search) => search.limit as usize,
        }
    }
}

/// A page, read in small steps, since an entry may have megabytes.
async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    of: MemoryId,
    mut before: Option<u64>,
    limit: usize,
) -> ziet_store::Result<(Vec<Entry>, Option<u64>)> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    loop {
        let read = memory::page(tx, project, of, before, 2).await?;
        let more = read.len() == 2;
        for (number, entry) in read {
            if entries.len() == limit || bytes > PAGE_BYTES {
                return Ok((entries, before));
            }
            bytes += entry.value.as_bytes().len();
            before = Some(number);
            entries.push(entry);
        }
        if !more {
            return Ok((entries, None));
        }
    }
}

/// Read the memory of a run
///
/// The newest entry first: all of them in pages, the newest one under a `key`, or those that match a search.
#[utoipa::path(get, path = "/v1/runs/{id}/memory", tag = "memory", operation_id = "list_run_memory",
    params(("id" = schema::Id, Path, description = "The run."), Wanted),
    responses((status = 200, description = "A page of entries.", body = Page<MemoryEntry>)),
    security(("api_key" = ["read"])))]
pub(crate) async fn of_run(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Json<Page<MemoryEntry>>, Problem> {
    let (project, run) = (caller.project()?.id.clone(), name.run()?);
    let question = Question::take(&mut params)?;
    params.end()?;
    let of = memory_of(&platform, &project, run).await?;
    answer(&platform, project, of, question).await
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
) -> Result<Json<Page<MemoryEntry>>, Problem> {
    let project = caller.project()?.id.clone();
    let of = name.id(Code::MemoryNotFound)?;
    let question = Question::take(&mut params)?;
    params.end()?;
    answer(&platform, project, of, question).await
}

async fn answer(
    platform: &Platform,
    project: ProjectId,
    of: MemoryId,
    question: Question,
) -> Result<Json<Page<MemoryEntry>>, Problem> {
    let limit = question.limit();
    let verb = async move |tx: &mut Tx<'_>| {
        if memory::find(tx, &project, of).await?.is_none() {
            return Err(ziet_store::StoreError::NoMemory(of));
        }
        question.ask(tx, &project, of).await
    };
    let (entries, next) = platform.read(verb).await?;
    let entries = entries.into_iter().map(MemoryEntry::from).collect();
    Ok(Json(Page::new(entries, limit, next)))
}

async fn memory_of(
    platform: &Platform,
    project: &ProjectId,
    run: RunId,
) -> Result<MemoryId, Problem> {
    let project = project.clone();
    let verb = async move |tx: &mut Tx<'_>| runs::summary(tx, &project, run).await;
    let found = platform.read(verb).await?;
    Ok(found.ok_or_else(|| Problem::run_not_found(run))?.memory_id)
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
        let json = |text: &RawValue| Value::trusted(text.get().as_bytes());
        let value = json(&self.value);
        if value.as_bytes().len() > JSON_BYTES {
            return Err(invalid(format!(
                "a value of {} bytes, limit {JSON_BYTES}",
                value.as_bytes().len()
            )));
        }
        let metadata = self.metadata.as_deref().map(json);
        let fits = |json: &Value| {
            json.as_bytes().starts_with(b"{") && json.as_bytes().len() <= METADATA_BYTES
        };
        if metadata.as_ref().is_some_and(|json| !fits(json)) {
            return Err(invalid(format!(
                "metadata is a JSON object of at most {METADATA_BYTES} bytes, or null"
            )));
        }
        Ok(Entry {
            entry_id: EntryId::new(now),
            key: self.key,
            value,
            metadata,
            created_at: now,
            run_id: None,
            attempt: None,
        })
    }
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
    let (project, run) = (caller.project()?, name.run()?);
    params.end()?;
    let entry = body
        .parse::<NewEntry>()?
        .check(project, platform.settings.clock.now())?;
    let of = memory_of(&platform, &project.id, run).await?;
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
struct Unwanted {
    /// The one entry with this id.
    entry_id: Option<schema::Id>,
    /// All entries under this key.
    key: Option<String>,
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
    params(("id" = schema::Id, Path, description = "The run."), Unwanted),
    responses((status = 200, description = "How many entries there were.", body = Removed)),
    security(("api_key" = ["run"])))]
pub(crate) async fn remove(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
) -> Result<Json<Removed>, Problem> {
    let (project, run) = (caller.project()?.id.clone(), name.run()?);
    let entry: Option<EntryId> = params.value("entry_id", "the id of an entry")?;
    let key = params.text("key")?;
    params.end()?;
    if entry.is_some() == key.is_some() {
        return Err(Problem::new(
            Code::InvalidRequest,
            "give either `entry_id` or `key`",
        ));
    }
    let of = memory_of(&platform, &project, run).await?;
    let verb =
        async move |tx: &mut Tx<'_>| memory::remove(tx, &project, of, entry, key.as_deref()).await;
    Ok(Json(Removed {
        removed: platform.write(verb).await?,
    }))
}
