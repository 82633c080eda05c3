//! What the `OpenAPI` document says of all paths alike: who may ask, and how a request can be refused.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Array, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema, Tag,
};

/// How a request to any path can be refused.
const ALWAYS: &[(&str, &str)] = &[
    (
        "405",
        "The path has no such method; `Allow` lists those that it has.",
    ),
    (
        "421",
        "The server does not answer to the name in the Host header.",
    ),
    (
        "429",
        "Too much at a time; `Retry-After` says when to come back. Without it, it is more than is ever taken at once.",
    ),
    (
        "500",
        "A defect of the server; its log has the cause under the request's id.",
    ),
    (
        "503",
        "Not now: the store cannot be used, there are too many connections, or the server is starting or stopping.",
    ),
];

/// How one that needs a key can be refused besides.
const WITH_KEY: &[(&str, &str)] = &[
    (
        "400",
        "What was sent cannot be read, the cursor is none, or the project is not named.",
    ),
    ("401", "The key is missing, unknown or revoked."),
    (
        "403",
        "The key lacks the scope, or belongs to another project.",
    ),
    ("404", "There is no such thing in the project."),
    (
        "422",
        "A parameter or a field is unknown, missing or wrong.",
    ),
];

/// How one that changes something can be refused besides.
const WRITING: &[(&str, &str)] = &[("507", "The disk is full; what was accepted before is safe.")];

/// How one with a body can be refused besides.
const WITH_BODY: &[(&str, &str)] = &[
    ("408", "The body did not arrive in time."),
    ("413", "The body is larger than the path takes."),
    ("415", "The body is not `application/json`."),
];

const TAGS: &[(&str, &str)] = &[
    (
        "runs",
        "Requests to execute actions, and what becomes of them.",
    ),
    ("memory", "What runs keep and share."),
    ("actions", "What can be executed."),
    ("keys", "Who may ask for what."),
    ("health", "How the server is, and what it offers."),
];

/// Adds what is said of all paths alike.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let tag = |(name, text): &(&str, &str)| {
        let mut tag = Tag::new(name);
        tag.description = Some((*text).to_owned());
        tag
    };
    document.tags = Some(TAGS.iter().map(tag).collect());
    for item in document.paths.paths.values_mut() {
        refuse_in(item);
    }
    let components = document.components.get_or_insert_default();
    for (status, text) in [ALWAYS, WITH_KEY, WRITING, WITH_BODY].concat() {
        components
            .responses
            .insert(name(status), refused(text).into());
    }
    let key = ApiKeyValue::with_description(
        "Authorization",
        "`Api-Key sk_…`. A key that may act for several projects names one in the header `Ziet-Project`.",
    );
    for (name, schema) in &mut components.schemas {
        if let Some(item) = name.strip_prefix("Page_") {
            name_items(schema, item);
        }
    }
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    document
}

/// A page names what it holds, rather than describing it again.
fn name_items(page: &mut RefOr<Schema>, item: &str) {
    if let RefOr::T(Schema::Object(page)) = page {
        let items = Array::new(Ref::from_schema_name(item));
        page.properties
            .insert("data".to_owned(), Schema::Array(items).into());
    }
}

fn refuse_in(item: &mut PathItem) {
    let reading = [&mut item.get].into_iter().flatten();
    reading.for_each(|operation| refuse(operation, "read", &[]));
    let writing = [
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten();
    writing.for_each(|operation| refuse(operation, "run", WRITING));
}

/// `scope` is what it needs where it does not say so itself.
fn refuse(operation: &mut Operation, scope: &str, more: &[(&str, &str)]) {
    let usual = || vec![SecurityRequirement::new("api_key", [scope])];
    operation.security.get_or_insert_with(usual);
    // `security(())`, which asks for nothing, is one empty requirement.
    let empty = serde_json::json!([{}]);
    let needs_key =
        serde_json::to_value(&operation.security).is_ok_and(|security| security != empty);
    let with_key = if needs_key { WITH_KEY } else { &[] };
    let with_body = if operation.request_body.is_some() {
        WITH_BODY
    } else {
        &[]
    };
    for (status, _) in [ALWAYS, with_key, with_body, more].concat() {
        let there = &mut operation.responses.responses;
        there
            .entry(status.to_owned())
            .or_insert_with(|| Ref::from_response_name(name(status)).into());
    }
}

fn name(status: &str) -> String {
    format!("Refused{status}")
}

fn refused(text: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(text)
        .content("application/problem+json", content)
        .build()
}
