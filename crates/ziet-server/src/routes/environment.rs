//! The variables that a project's code finds in its environment. Their values are taken, and never shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use ziet_core::Time;
use ziet_store::Tx;
use ziet_store::environment::{self, Variable};

use crate::auth::{Allowed, Deploy, Read};
use crate::body::{ONE, Payload};
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::schema;

/// Bytes of a value.
const VALUE: usize = 64 * 1024;

/// Bytes of a name.
const NAME: usize = 256;

/// What the platform keeps for itself.
const OWN: &str = "ZIET_";

/// A variable, without its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct VariableDocument {
    name: String,
    #[schema(value_type = schema::Timestamp)]
    updated_at: Time,
}

impl From<Variable> for VariableDocument {
    fn from(variable: Variable) -> Self {
        Self {
            name: variable.name,
            updated_at: variable.updated_at,
        }
    }
}

/// All variables of a project.
#[derive(Serialize, ToSchema)]
pub(crate) struct VariableDocuments {
    data: Vec<VariableDocument>,
}

/// List variables
///
/// In the order of their names, without their values.
#[utoipa::path(get, path = "/v1/environment", tag = "environment", operation_id = "list_variables",
    responses((status = 200, description = "The variables.", body = VariableDocuments)),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    params: Params,
) -> Result<Json<VariableDocuments>, Problem> {
    params.end()?;
    let project = caller.project_id()?.clone();
    let verb = async move |tx: &mut Tx<'_>| environment::list(tx, &project).await;
    let listed = platform.read(&caller.room().await?, verb).await?;
    let data = listed.into_iter().map(VariableDocument::from).collect();
    Ok(Json(VariableDocuments { data }))
}

/// The value of a variable.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariableValue {
    /// At most 64 kB, without NUL characters.
    value: String,
}

/// What has become of a change.
#[derive(Serialize, ToSchema)]
pub(crate) struct Applied {
    /// Why the active version could not be imported with it: then that goes on with what it had. Null where all is well.
    #[schema(required)]
    error: Option<String>,
}

/// Set a variable
///
/// Attempts that begin when this has answered have it, and so has the import of the code. Those that are under way keep what they have.
#[utoipa::path(put, path = "/v1/environment/{name}", tag = "environment", operation_id = "set_variable",
    params(("name" = String, Path, description = "Letters, digits and `_`, not beginning with a digit or with `ZIET_`.")),
    request_body = VariableValue,
    responses((status = 200, description = "It is set.", body = Applied)),
    security(("api_key" = ["deploy"])))]
pub(crate) async fn set(
    caller: Allowed<Deploy>,
    State(platform): State<Arc<Platform>>,
    Named(name): Named,
    params: Params,
    body: Payload<ONE>,
) -> Result<Json<Applied>, Problem> {
    params.end()?;
    check_name(&name)?;
    let VariableValue { value } = body.parse()?;
    if value.len() > VALUE || value.contains('\0') {
        let detail = "`value` has at most 64 kB, and no NUL characters";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let (project, now) = (caller.project_id()?.clone(), platform.settings.clock.now());
    let of = project.clone();
    let verb = async move |tx: &mut Tx<'_>| environment::put(tx, &of, &name, &value, now).await;
    platform.write(verb).await?;
    let error = platform.apply_variables(&project).await?;
    Ok(Json(Applied { error }))
}

/// Remove a variable
#[utoipa::path(delete, path = "/v1/environment/{name}", tag = "environment", operation_id = "remove_variable",
    params(("name" = String, Path, description = "The variable.")),
    responses((status = 200, description = "It is removed.", body = Applied)),
    security(("api_key" = ["deploy"])))]
pub(crate) async fn remove(
    caller: Allowed<Deploy>,
    State(platform): State<Arc<Platform>>,
    Named(name): Named,
    params: Params,
) -> Result<(StatusCode, Json<Applied>), Problem> {
    params.end()?;
    let project = caller.project_id()?.clone();
    let (of, named) = (project.clone(), name.clone());
    let verb = async move |tx: &mut Tx<'_>| environment::remove(tx, &of, &named).await;
    if !platform.write(verb).await? {
        let detail = format!("the project {project} has no variable {name:?}");
        return Err(Problem::new(Code::VariableNotFound, detail));
    }
    let error = platform.apply_variables(&project).await?;
    Ok((StatusCode::OK, Json(Applied { error })))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let first = |char: char| char.is_ascii_alphabetic() || char == '_';
    let fits = name.starts_with(first)
        && name
            .chars()
            .all(|char| first(char) || char.is_ascii_digit());
    if !fits || name.len() > NAME {
        let detail = format!(
            "{name:?} is no name of a variable: it has letters, digits and `_`, and does not begin with a digit"
        );
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    if name.starts_with(OWN) {
        let detail = format!("what begins with {OWN} is ziet's own");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(())
}
