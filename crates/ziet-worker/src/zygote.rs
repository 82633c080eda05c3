//! The zygote's process, seen from outside: how it is started, and what it says.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use ziet_core::Catalogue;
use ziet_core::limits::IMPORT_TIME;

use crate::channel::Channel;
use crate::os;
use crate::pipe::Pipe;
use crate::python::SDK_COMES_FROM;
use crate::sandbox;
use crate::worker::WorkerSettings;

/// What Python is told to run. The SDK is imported before the project is on the path, from the program's own folder
/// where that is known, so that the project's environment cannot put another one in its place. Nothing else is taken from that
/// folder, which may hold packages for another version of Python: importing the package itself needs no other.
const BOOTSTRAP: &str = "\
import sys
if sys.path and sys.path[0] == '': del sys.path[0]
sdk = sys.argv[1]
try:
    if sdk:
        sys.path.insert(0, sdk)
        import ziet
        sys.path.remove(sdk)
    from ziet._zygote import main
except ModuleNotFoundError as error:
    name = error.name.partition('.')[0]
    if name != 'ziet': sys.exit(f'the package {name!r} is missing: {sys.executable} -m pip install {name}')
    other = sys.modules.get('ziet')
    origin = getattr(other, '__file__', None)
    found = f', but another package of that name at {origin}' if other else ''
    sys.exit(f'{sys.executable} does not have the package ziet of this program{found}: {sys.argv[2]}')
main()
";

/// How long a zygote whose socket is closed may take to end what it started.
const FAREWELL: Duration = Duration::from_secs(2);

/// The end of what it wrote to standard error, for when it dies.
const LAST_WORDS: usize = 16 * 1024;

pub(crate) struct Zygote {
    child: Child,
    pub(crate) channel: Channel,
    pub(crate) out: Option<Pipe>,
    pub(crate) err: Option<Pipe>,
    pub(crate) said: String,
    pub(crate) loading: Option<Loading>,
    pub(crate) sdk_folder: String,
    /// The newest version of the messages that it speaks, once it has said so.
    pub(crate) protocol: Option<u32>,
}

/// An import that goes on.
pub(crate) struct Loading {
    pub(crate) catalogue: Catalogue,
    pub(crate) until: Instant,
    /// What it has shown of its stack since its time is up.
    pub(crate) stack: Option<String>,
}

pub(crate) struct Tokens {
    pub(crate) control: Token,
    pub(crate) out: Token,
    pub(crate) err: Token,
}

/// What a zygote is granted before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nothing: it is stuck, or cannot be trusted.
    Kill,
    /// A moment: when its socket is closed, it ends what it started and then itself. It may also have done so already.
    Wait,
}

impl Farewell {
    /// Of one that nothing is wrong with.
    pub(crate) fn before(zygote: &Zygote) -> Self {
        // While it imports, it runs the project's code and does not see the end of its socket.
        match zygote.loading {
            Some(_) => Self::Kill,
            None => Self::Wait,
        }
    }
}

/// Where a zygote is to be.
pub(crate) struct Place<'a> {
    /// Of its executors.
    pub(crate) socket: &'a Path,
    /// In which it and all that comes from it is ended and limited.
    pub(crate) group: Option<&'a os::Group>,
}

/// Python, with what it is told to do: the program's process id, or 0 where the guardian of a sandbox stands between
/// the two, and the socket of the executors.
fn command(settings: &WorkerSettings, place: &Place<'_>) -> std::io::Result<Command> {
    let sdk = settings.sdk.as_deref().unwrap_or(Path::new(""));
    let parent = if settings.sandbox {
        0
    } else {
        std::process::id()
    };
    let parent = parent.to_string();
    let arguments = ["-c", BOOTSTRAP].map(OsStr::new).into_iter().chain([
        sdk.as_os_str(),
        OsStr::new(SDK_COMES_FROM),
        OsStr::new(&parent),
        place.socket.as_os_str(),
    ]);
    if settings.sandbox {
        return sandbox::command(settings, place, arguments);
    }
    let mut command = Command::new(&settings.python.path);
    command.args(arguments);
    let given = settings.environment.iter();
    command.envs(given.map(|(name, value)| (name, value)));
    Ok(command)
}

impl Zygote {
    /// The calling thread must live as long as the zygote may: the kernel ends a zygote with the thread that made it.
    pub(crate) fn start(
        settings: &WorkerSettings,
        place: &Place<'_>,
        registry: &Registry,
        tokens: &Tokens,
        now: Instant,
    ) -> std::io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = command(settings, place)?;
        // The guardian of a sandbox outlives this process, to clean up after it. Python asks for the same at last, but
        // what is executed before that must not outlive it either.
        os::in_own_session(&mut command, !settings.sandbox)
            // Standard input is the one descriptor that can be handed over without code between fork and exec.
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(group) = place.group.filter(|_| !settings.sandbox) {
            // Where that is not allowed, processes are ended and limited in other ways.
            let _ = group.join(child.id());
        }
        let mut stream = UnixStream::from_std(ours);
        registry.register(
            &mut stream,
            tokens.control,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let out = child
            .stdout
            .take()
            .map(|end| Pipe::new(end.into(), registry, tokens.out))
            .transpose()?;
        let err = child
            .stderr
            .take()
            .map(|end| Pipe::new(end.into(), registry, tokens.err))
            .transpose()?;
        Ok(Self {
            child,
            channel: Channel::new(stream),
            out,
            err,
            said: String::new(),
            loading: Some(Loading {
                catalogue: Catalogue::default(),
                until: now + IMPORT_TIME,
                stack: None,
            }),
            sdk_folder: String::new(),
            protocol: None,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Python's process: with a sandbox, the child of the guardian.
    pub(crate) fn python_pid(&self, sandbox: bool) -> Option<u32> {
        if sandbox {
            os::descendants(self.pid()).first().copied()
        } else {
            Some(self.pid())
        }
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.said.push_str(text);
        self.said.push('\n');
        if self.said.len() > LAST_WORDS {
            let over = self.said.len() - LAST_WORDS;
            let cut = (over..self.said.len()).find(|cut| self.said.is_char_boundary(*cut));
            self.said.drain(..cut.unwrap_or_default());
        }
    }

    /// Ends it and all that it started, and says how it ended.
    pub(crate) fn end(self, registry: &Registry, farewell: Farewell) -> String {
        let Self {
            mut child,
            mut channel,
            out,
            err,
            ..
        } = self;
        if farewell == Farewell::Kill {
            let _ = child.kill();
        }
        let _ = registry.deregister(channel.stream());
        out.into_iter()
            .chain(err)
            .for_each(|pipe| pipe.close(registry));
        drop(channel);
        if !os::ends_within(child.id(), FAREWELL) {
            let _ = child.kill();
        }
        child.wait().map_or_else(
            |error| error.to_string(),
            |status| os::ending_text(os::Ending::from(status)),
        )
    }
}
