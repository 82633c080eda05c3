//! Who asks: the API key of a request, what it may do, and for which project.
//!
//! A route says what it needs by the type of its first argument, `Allowed<Read>` and the like, so it cannot forget to ask.
//! Keys are looked up by their hash; the key itself is kept nowhere.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ziet_core::{ProjectId, RunId, Scope};

use crate::keys::Key;
use crate::platform::{Look, Platform, Project};
use crate::problem::{Code, Problem};
use crate::share::Taken;

/// The header that names the project where a key may act for several.
pub(crate) const PROJECT_HEADER: &str = "ziet-project";

/// Somebody with a valid key.
pub(crate) struct Caller {
    pub(crate) key: Arc<Key>,
    /// The project that the request names: the key's, or the one in the header.
    named: Option<ProjectId>,
    /// The project that the request is about, if it is served.
    project: Option<Arc<Project>>,
    platform: Arc<Platform>,
}

impl Caller {
    /// Room for one read, once it is the turn of this among those of the same key.
    pub(crate) async fn room(&self) -> Result<Taken, Problem> {
        self.key.share.read().await
    }

    /// A look at one run of the project.
    pub(crate) fn look<'a>(&'a self, room: &'a Taken, run: RunId) -> Result<Look<'a>, Problem> {
        Ok(Look {
            platform: &self.platform,
            room,
            project: &self.project()?.id,
            run,
        })
    }

    /// Refuses a key that has not the scope `S`, for what one scope is not enough for.
    pub(crate) fn needs<S: Needs>(&self) -> Result<(), Problem> {
        let scopes = &self.key.scopes;
        if scopes.contains(&S::SCOPE) || scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        let detail = format!("this needs a key with the scope `{}`", S::NAME);
        Err(Problem::new(Code::ScopeMissing, detail))
    }

    /// The project that the request is about.
    pub(crate) fn project(&self) -> Result<&Project, Problem> {
        self.project.as_deref().ok_or_else(|| match &self.named {
            Some(id) => Problem::new(
                Code::ProjectNotFound,
                format!("this server has no project {id}; `ziet deploy` makes it"),
            ),
            None => required(),
        })
    }

    /// The id of the project that the request is about, which need not be there yet.
    pub(crate) fn project_id(&self) -> Result<&ProjectId, Problem> {
        let served = self.project.as_ref().map(|project| &project.id);
        served.or(self.named.as_ref()).ok_or_else(required)
    }
}

fn required() -> Problem {
    Problem::new(
        Code::ProjectRequired,
        "the key may act for several projects: name one in the header `Ziet-Project`",
    )
}

/// A caller whose key has the scope `S`.
pub(crate) struct Allowed<S> {
    caller: Caller,
    scope: PhantomData<S>,
}

/// A scope as a type.
pub(crate) trait Needs {
    const SCOPE: Scope;
    const NAME: &str;
}

macro_rules! scopes {
    ($($name:ident $word:literal),*) => {$(
        #[doc = concat!("Needs the scope `", $word, "`.")]
        pub(crate) enum $name {}
        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
            const NAME: &str = $word;
        }
    )*};
}

scopes!(Admin "admin", Deploy "deploy", Run "run", Read "read");

impl<S> Deref for Allowed<S> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Whatever its key may do.
impl FromRequestParts<Arc<Platform>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        platform: &Arc<Platform>,
    ) -> Result<Self, Problem> {
        identify(parts, platform)
    }
}

impl<S: Needs> FromRequestParts<Arc<Platform>> for Allowed<S> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        platform: &Arc<Platform>,
    ) -> Result<Self, Problem> {
        let caller = identify(parts, platform)?;
        caller.needs::<S>()?;
        // The body is read only for somebody who is known.
        parts.extensions.insert(Arc::clone(&caller.key));
        Ok(Self {
            caller,
            scope: PhantomData,
        })
    }
}

/// A caller who may see what is for operators: anybody, where the settings say so.
pub(crate) struct Onlooker;

impl FromRequestParts<Arc<Platform>> for Onlooker {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        platform: &Arc<Platform>,
    ) -> Result<Self, Problem> {
        if !platform.settings.public_metrics {
            Allowed::<Read>::from_request_parts(parts, platform).await?;
        }
        Ok(Self)
    }
}

fn identify(parts: &Parts, platform: &Arc<Platform>) -> Result<Caller, Problem> {
    let key = presented(parts)?;
    let key = platform.keys.find(key).ok_or_else(|| {
        Problem::new(
            Code::KeyInvalid,
            "there is no such API key, or it was revoked",
        )
    })?;
    let named = parts.headers.get(PROJECT_HEADER);
    let named = named.map(|name| name.to_str().unwrap_or_default());
    let named = match (&key.project, named) {
        (Some(own), Some(named)) if own.as_str() != named => {
            return Err(Problem::new(
                Code::WrongProject,
                format!("the key belongs to the project {own}, not to {named:?}"),
            ));
        }
        (Some(own), _) => Some(own.clone()),
        (None, named) => named.map(ProjectId::new),
    };
    platform.note_use(&key);
    Ok(Caller {
        key,
        project: platform.project(named.as_ref()),
        named,
        platform: Arc::clone(platform),
    })
}

/// The key that the request brings.
fn presented(parts: &Parts) -> Result<&str, Problem> {
    let missing = || {
        Problem::new(
            Code::KeyMissing,
            "send the header `Authorization: Api-Key sk_…` (the first key stands in the server's state folder)",
        )
    };
    let header = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let (scheme, key) = header
        .to_str()
        .ok()
        .and_then(|header| header.split_once(' '))
        .ok_or_else(missing)?;
    // `Bearer` is what many clients can send and nothing else.
    if scheme.eq_ignore_ascii_case("api-key") || scheme.eq_ignore_ascii_case("bearer") {
        Ok(key.trim())
    } else {
        Err(missing())
    }
}
