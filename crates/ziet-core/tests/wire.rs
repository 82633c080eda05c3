//! Every message as bytes that are kept in `vectors/`: what Python is tested against, and what must not change while the
//! protocol's number stays. `UPDATE_VECTORS=1 cargo test -p ziet-core --test wire` writes them anew, but for those of the
//! version before, which are never written again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ziet_core::action::{
    ActionSpec, Isolation, ModuleProblem, Parameter, Raised, Returned, Stored, Text,
};
use ziet_core::error::{ErrorCode, Failure, Local, RelatedError, Relation, StackFrame};
use ziet_core::frame::{FrameReader, encode};
use ziet_core::memory::Search;
use ziet_core::run::OnLost;
use ziet_core::wire::{
    Finished, FromExecutor, FromZygote, Level, OLDEST_PROTOCOL, PROTOCOL, Start, StartMethod,
    ToExecutor, ToZygote, WireEntry, is_spoken,
};
use ziet_core::{ActionId, EntryId, Json, MemoryId, RunId};

const UUID: &str = "0190b5a0-7c00-7000-8000-00000000000a";

#[expect(
    clippy::disallowed_methods,
    reason = "how the vectors are written anew"
)]
fn is_update() -> bool {
    std::env::var("UPDATE_VECTORS").is_ok()
}

/// Compares with the kept bytes, and reads them back.
fn check<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    group: &str,
    messages: &[(&str, M)],
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(group);
    let mut kept: Vec<String> = Vec::new();
    for (name, message) in messages {
        let frame = encode(message).unwrap();
        let file = folder.join(format!("{name}.msgpack"));
        let readable = folder.join(format!("{name}.json"));
        if is_update() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &frame[4..]).unwrap();
            fs::write(
                &readable,
                serde_json::to_string_pretty(message).unwrap() + "\n",
            )
            .unwrap();
        }
        let bytes = fs::read(&file).unwrap();
        assert_eq!(frame[4..], bytes, "{group}/{name} has changed");
        let mut reader = FrameReader::default();
        reader.push(&frame);
        assert_eq!(reader.take::<M>().unwrap().as_ref(), Some(message));
        kept.push(format!("{name}.msgpack"));
    }
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.ends_with(".msgpack")).collect();
    files.sort();
    kept.sort();
    assert_eq!(
        files, kept,
        "vectors/{group} holds what no message is tested with"
    );
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn run_id() -> RunId {
    UUID.parse().unwrap()
}

fn entry_id() -> EntryId {
    UUID.parse().unwrap()
}

fn memory_id() -> MemoryId {
    UUID.parse().unwrap()
}

fn failure() -> Failure {
    Failure {
        kind: "ValueError".to_owned(),
        message: "Invalid data — é".to_owned(),
        traceback: Some("Traceback (most recent call last):\nValueError: Invalid data".to_owned()),
        code: ErrorCode::Exception,
        retryable: true,
        frames: vec![frame()],
        notes: vec!["seen before".to_owned()],
        related: vec![RelatedError {
            relation: Relation::Cause,
            kind: "KeyError".to_owned(),
            message: "'id'".to_owned(),
            frames: vec![frame()],
            notes: Vec::new(),
            related: Vec::new(),
            left_out: 3,
        }],
        left_out: 0,
    }
}

fn frame() -> StackFrame {
    StackFrame {
        file: "/project/actions.py".to_owned(),
        line: 12,
        function: "risky".to_owned(),
        source: None,
        user: true,
        locals: vec![Local {
            name: "data".to_owned(),
            value: "{}".to_owned(),
        }],
        left_out: 9,
        cycle: 1,
    }
}

fn action() -> ActionSpec {
    let parameter = |name: &str, hint: &str, default: Option<Json>, text| Parameter {
        name: name.to_owned(),
        hint: hint.to_owned(),
        required: default.is_none(),
        default,
        text,
        description: Some(format!("The {name}.")),
    };
    ActionSpec {
        id: ActionId::new("process_payment"),
        name: "Process Payment".to_owned(),
        description: "Process payment transaction".to_owned(),
        module: "actions".to_owned(),
        function: "process_payment".to_owned(),
        file: "/project/actions.py".to_owned(),
        line: 3,
        timeout: 300,
        retries: 100,
        parameters: vec![
            parameter("amount", "int", None, Text::Never),
            parameter("currency", "str", Some(json("\"usd\"")), Text::Always),
            parameter("note", "str | None", Some(json("null")), Text::UnlessNull),
        ],
        accepts_unknown: false,
        input_schema: Some(json("{\"type\":\"object\"}")),
        output_schema: None,
        documentation: Some("Process a payment transaction.".to_owned()),
        stores: vec![Stored {
            key: "payment_result".to_owned(),
            description: "What became of it".to_owned(),
        }],
        raises: vec![Raised {
            kind: "ValueError".to_owned(),
            description: "If the amount is negative".to_owned(),
        }],
        returns: Some(Returned {
            hint: "None".to_owned(),
            description: None,
        }),
        memory: 512 << 20,
        isolation: Isolation::Attempt,
        on_lost: OnLost::Fail,
    }
}

#[test]
fn to_zygote() {
    let text = str::to_owned;
    check(
        "to_zygote",
        &[
            (
                "load",
                ToZygote::Load {
                    root: text("/p"),
                    paths: vec![text("/p/src")],
                    modules: vec![text("actions")],
                    describe: true,
                    start: StartMethod::Spawn,
                },
            ),
            (
                "make_input",
                ToZygote::MakeInput {
                    action_id: ActionId::new("a.b:c-d"),
                    given: json("{\"x\":1}"),
                },
            ),
            (
                "fork",
                ToZygote::Fork {
                    token: text("4f1c"),
                    scratch: Some("/scratch/1".to_owned()),
                },
            ),
            ("reap", ToZygote::Reap { pid: 4_194_304 }),
            ("kill", ToZygote::Kill { pid: 4_194_304 }),
        ],
    );
}

#[test]
fn from_zygote() {
    let text = str::to_owned;
    let problem = ModuleProblem {
        module: text("broken"),
        file: text("/p/broken.py"),
        message: text("ImportError: no"),
        traceback: text("Traceback"),
        action: Some(ActionId::new("broken.pay")),
    };
    let hello = FromZygote::Hello {
        protocol: PROTOCOL,
        sdk: text("0.1.0"),
        python: text("3.11.7"),
        folder: text("/sdk/ziet"),
        oldest: Some(OLDEST_PROTOCOL),
    };
    check(
        "from_zygote",
        &[
            ("hello", hello),
            (
                "action",
                FromZygote::Action {
                    spec: Box::new(action()),
                },
            ),
            ("problem", FromZygote::Problem { problem }),
            ("loaded", FromZygote::Loaded {}),
            (
                "input_made",
                FromZygote::InputMade {
                    input: json("{\"x\":1}"),
                    made: vec![text("x=1")],
                    error: None,
                },
            ),
            (
                "forked",
                FromZygote::Forked {
                    token: text("4f1c"),
                    pid: 77,
                },
            ),
            (
                "fork_failed",
                FromZygote::ForkFailed {
                    token: text("4f1c"),
                    error: text("no memory"),
                },
            ),
            (
                "exited",
                FromZygote::Exited {
                    pid: 77,
                    status: -11,
                },
            ),
        ],
    );
}

#[test]
fn to_executor() {
    let start = Start {
        run_id: run_id(),
        attempt: 2,
        action_id: ActionId::new("process_payment"),
        input: json("{\"amount\": 10}"),
        memory_id: memory_id(),
        first_call: 0,
        environment: vec![("REGION".to_owned(), "eu".to_owned())],
        secrets: Vec::new(),
        mocked: true,
        locals: false,
        memory_limit: Some(10 << 30),
    };
    let entry = WireEntry {
        entry_id: entry_id(),
        key: "user_7".to_owned(),
        value: json("{\"name\": \"Ada\"}"),
        metadata: Some(json("{\"kind\": 1}")),
        created_at: 1_700_000_000_000,
        run_id: Some(run_id()),
        attempt: Some(1),
    };
    let refused = ToExecutor::Refused {
        request: 9,
        code: ErrorCode::MemoryFull,
        message: "101.0 MB, limit 100 MB".to_owned(),
    };
    let failed = ToExecutor::CallEnded {
        request: 8,
        run_id: run_id(),
        output: None,
        failure: Some(failure()),
    };
    let ended = ToExecutor::CallEnded {
        request: 8,
        run_id: run_id(),
        output: Some(json("3")),
        failure: None,
    };
    check(
        "to_executor",
        &[
            ("start", ToExecutor::Start(Box::new(start))),
            (
                "memory_added",
                ToExecutor::MemoryAdded {
                    request: 1,
                    entry_id: entry_id(),
                },
            ),
            (
                "memory_value",
                ToExecutor::MemoryValue {
                    request: 2,
                    value: Some(json("[1, null]")),
                },
            ),
            (
                "memory_value_missing",
                ToExecutor::MemoryValue {
                    request: u64::MAX,
                    value: None,
                },
            ),
            (
                "memory_entries",
                ToExecutor::MemoryEntries {
                    request: 3,
                    entries: vec![entry],
                    more: true,
                },
            ),
            (
                "memory_removed",
                ToExecutor::MemoryRemoved {
                    request: 4,
                    count: 2,
                },
            ),
            ("call_ended", ended),
            ("call_failed", failed),
            ("refused", refused),
            ("done", ToExecutor::Done { request: 6 }),
        ],
    );
}

#[test]
fn from_executor() {
    let finished = |output, failure| {
        let finished = Finished {
            output,
            failure,
            cpu_ms: 15,
            peak_memory_bytes: 30_000_000,
            left: vec!["thread sender".to_owned()],
            spent: true,
        };
        FromExecutor::Finished(Box::new(finished))
    };
    let add = FromExecutor::MemoryAdd {
        request: 1,
        key: "k".to_owned(),
        value: json("{\"a\": 1.5}"),
        metadata: Some(json("{\"b\": true}")),
    };
    let search = Search {
        query: Some("ada".to_owned()),
        filter: None,
        limit: 10,
    };
    check(
        "from_executor",
        &[
            (
                "hello",
                FromExecutor::Hello {
                    protocol: PROTOCOL,
                    token: "4f1c".to_owned(),
                    stack_signal: 16,
                },
            ),
            ("memory_add", add),
            (
                "memory_get",
                FromExecutor::MemoryGet {
                    request: 2,
                    key: "k".to_owned(),
                },
            ),
            (
                "memory_search",
                FromExecutor::MemorySearch { request: 3, search },
            ),
            (
                "memory_remove",
                FromExecutor::MemoryRemove {
                    request: 4,
                    entry_id: Some(UUID.to_owned()),
                    key: None,
                },
            ),
            (
                "call",
                FromExecutor::Call {
                    request: 5,
                    action_id: ActionId::new("child"),
                    input: json("{}"),
                },
            ),
            (
                "integration_called",
                FromExecutor::IntegrationCalled {
                    request: 6,
                    call: "google.search(\"x\")".to_owned(),
                },
            ),
            (
                "output",
                FromExecutor::Output {
                    level: Level::Warn,
                    text: "two\nlines".to_owned(),
                },
            ),
            ("finished", finished(Some(json("null")), None)),
            ("failed", finished(None, Some(failure()))),
            ("drain", FromExecutor::Drain { request: 7 }),
            ("abandon", FromExecutor::Abandon { request: 5 }),
        ],
    );
}

/// Reads the messages that were recorded of the version before, and says again what they said, whatever was added since.
fn still_read<M: Serialize + DeserializeOwned>(group: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/vectors/protocol-{OLDEST_PROTOCOL}/{group}"));
    let files = fs::read_dir(&folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let recorded: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|kind| kind == "msgpack"))
        .collect();
    assert!(!recorded.is_empty());
    for file in recorded {
        let body = fs::read(&file).unwrap();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut reader = FrameReader::default();
        reader.push(&[length.to_vec(), body].concat());
        let message = reader.take::<M>().unwrap();
        let text = fs::read_to_string(file.with_extension("json")).unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        holds(
            &serde_json::to_value(message.unwrap()).unwrap(),
            &said,
            &file,
        );
    }
}

/// Whether everything that was said is there.
fn holds(now: &Value, said: &Value, file: &Path) {
    match (now, said) {
        (Value::Object(now), Value::Object(said)) => said
            .iter()
            .for_each(|(name, value)| holds(&now[name], value, file)),
        (Value::Array(now), Value::Array(said)) => {
            assert_eq!(now.len(), said.len(), "{}", file.display());
            now.iter()
                .zip(said)
                .for_each(|(now, said)| holds(now, said, file));
        }
        _ => assert_eq!(now, said, "{}", file.display()),
    }
}

#[test]
fn the_version_before_is_read() {
    still_read::<FromZygote>("from_zygote");
    still_read::<FromExecutor>("from_executor");
    still_read::<ToZygote>("to_zygote");
    still_read::<ToExecutor>("to_executor");
}

#[test]
fn a_version_in_common_is_all_it_takes() {
    for (newest, oldest, spoken) in [
        (PROTOCOL, Some(OLDEST_PROTOCOL), true),
        (PROTOCOL, None, true),
        (OLDEST_PROTOCOL, None, true),
        (OLDEST_PROTOCOL, Some(OLDEST_PROTOCOL - 1), true),
        (PROTOCOL + 1, Some(PROTOCOL), true),
        (PROTOCOL + 1, None, false),
        (PROTOCOL + 2, Some(PROTOCOL + 1), false),
        (OLDEST_PROTOCOL - 1, None, false),
    ] {
        assert_eq!(is_spoken(newest, oldest), spoken, "{newest} {oldest:?}");
    }
}

#[test]
fn what_a_newer_peer_added_is_ignored() {
    #[derive(Serialize)]
    struct Newer {
        r#type: &'static str,
        pid: u32,
        added_later: &'static str,
    }
    let mut reader = FrameReader::default();
    reader.push(
        &encode(&Newer {
            r#type: "reap",
            pid: 5,
            added_later: "x",
        })
        .unwrap(),
    );
    assert_eq!(
        reader.take::<ToZygote>().unwrap(),
        Some(ToZygote::Reap { pid: 5 })
    );
}

#[test]
fn processor_time_that_no_process_can_have_used_is_read_as_the_most() {
    let finished = Finished {
        output: Some(json("1")),
        failure: None,
        cpu_ms: u64::MAX,
        peak_memory_bytes: 0,
        left: Vec::new(),
        spent: false,
    };
    let mut reader = FrameReader::default();
    reader.push(&encode(&FromExecutor::Finished(Box::new(finished))).unwrap());
    let Some(FromExecutor::Finished(read)) = reader.take().unwrap() else {
        panic!("something else came");
    };
    assert_eq!(read.cpu_ms, ziet_core::wire::MOST_CPU_MS);
}
