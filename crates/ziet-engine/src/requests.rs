//! What running attempts ask for and tell: memory, calls, integrations, output. Each is answered after its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ziet_core::memory::{self as rules, Entry, Search};
use ziet_core::wire::{FromExecutor, Level, ToExecutor, WireEntry};
use ziet_core::{EntryId, ErrorCode, Json, MemoryId, RunId, limits};
use ziet_store::{Added, Change, EventRecord, StoreError, Tx, memory};
use ziet_worker::ExecutorId;

use crate::notice::{Happening, MemoryUse};
use crate::turn::Scheduler;

/// Bytes of entries in one message, so that it stays below the limit of a frame.
const ENTRIES_AT_ONCE: usize = 512 * 1024;

/// Bytes for the ids, names and numbers of an entry, or of a request.
const ENTRY_OVERHEAD: usize = 512;

/// Bytes of requests of one attempt that the store has not answered: they wait in memory.
const ASKED_AT_ONCE: usize = 32 * 1024 * 1024;

/// About what an entry takes in a message.
fn entry_size(entry: &Entry) -> usize {
    let metadata = entry
        .metadata
        .as_ref()
        .map_or(0, |metadata| metadata.as_bytes().len());
    entry.key.len() + entry.value.as_bytes().len() + metadata + ENTRY_OVERHEAD
}

/// Says what of an entry is too large, if anything.
fn check_size(key: &str, value: &Json, metadata: Option<&Json>) -> Result<(), String> {
    let size = |json: &Json| json.as_bytes().len();
    let excess = limits::excess(size(value), limits::JSON_BYTES)
        .or_else(|| limits::excess(metadata.map_or(0, size), limits::METADATA_BYTES));
    excess.map_or(Ok(()), |excess| {
        Err(format!("memory key {key:?}: {excess}"))
    })
}

/// Who asks: the request's number comes back with the answer.
struct Asker {
    executor: ExecutorId,
    request: u64,
    run: RunId,
    attempt: u32,
    memory: MemoryId,
    /// Counts the request for as long as there is this.
    _weight: Weight,
}

/// Bytes that are counted until this is dropped.
struct Weight {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Weight {
    fn new(all: &Arc<AtomicUsize>, own: usize) -> Self {
        all.fetch_add(own, Ordering::Relaxed);
        let all = Arc::clone(all);
        Self { all, own }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

impl Scheduler {
    pub(crate) fn on_executor(&mut self, executor: ExecutorId, message: FromExecutor) {
        match message {
            FromExecutor::Finished(finished) => self.finish(executor, *finished),
            FromExecutor::Output { level, text } => self.on_output(executor, level, text),
            FromExecutor::Call {
                request,
                action_id,
                input,
            } => self.call(executor, request, &action_id, input),
            FromExecutor::IntegrationCalled { request, call } => {
                self.with_asker(executor, request, call.len(), |this, asker| {
                    this.integration_called(asker, call);
                });
            }
            FromExecutor::Abandon { request } => self.abandon(executor, request),
            // What the pipes held has come before this message.
            FromExecutor::Drain { request } => self.answer(executor, &ToExecutor::Done { request }),
            FromExecutor::MemoryAdd {
                request,
                key,
                value,
                metadata,
            } => {
                let metadata_size = metadata.as_ref().map_or(0, |json| json.as_bytes().len());
                let size = key.len() + value.as_bytes().len() + metadata_size;
                self.with_asker(executor, request, size, |this, asker| {
                    this.add(asker, key, value, metadata);
                });
            }
            FromExecutor::MemoryGet { request, key } => {
                self.with_asker(executor, request, key.len(), |this, asker| {
                    this.get(asker, key);
                });
            }
            FromExecutor::MemorySearch { request, search } => {
                let filter = search
                    .filter
                    .as_ref()
                    .map_or(0, |json| json.as_bytes().len());
                let size = search.query.as_ref().map_or(0, String::len) + filter;
                self.with_asker(executor, request, size, |this, asker| {
                    this.search(asker, search);
                });
            }
            FromExecutor::MemoryRemove {
                request,
                entry_id,
                key,
            } => {
                let size = key.as_ref().map_or(0, String::len);
                self.with_asker(executor, request, size, |this, asker| {
                    this.remove(asker, entry_id, key);
                });
            }
            // It has said that already; a second time it means nothing.
            FromExecutor::Hello { .. } => {}
        }
    }

    pub(crate) fn answer(&mut self, executor: ExecutorId, message: &ToExecutor) {
        let worker = self.deployments.of(executor);
        if let Some(Err(error)) = worker.map(|worker| worker.send(executor, message)) {
            // Every answer is made to fit; a frame that does not is a defect that must show.
            let text = format!("an answer was not sent: {error}");
            if let Some(slot) = self.slots.get(&executor) {
                self.tell_line(slot.run, Level::Error, text);
            }
        }
    }

    /// An executor serves many attempts, and each numbers its requests from the start: what one asked for is not told
    /// to the next.
    fn reply(&mut self, asker: &Asker, message: &ToExecutor) {
        let current = self.claimed(asker.executor);
        if current.is_some_and(|(run, claim)| run == asker.run && claim.attempt == asker.attempt) {
            self.answer(asker.executor, message);
        }
    }

    /// None of what is asked is done for an attempt that has ended, or has asked for too much at once: `size` is what the
    /// request takes.
    fn with_asker(
        &mut self,
        executor: ExecutorId,
        request: u64,
        size: usize,
        ask: impl FnOnce(&mut Self, Asker),
    ) {
        let Some(slot) = self.slots.get(&executor) else {
            return;
        };
        let (run, claim) = (slot.run, slot.claim);
        let live = self.runs.get(&run);
        let Some(live) = live.filter(|live| live.run.state.claim() == Some(claim)) else {
            return;
        };
        let (attempt, memory) = (claim.attempt, live.memory);
        let asker = Asker {
            executor,
            request,
            run,
            attempt,
            memory,
            _weight: Weight::new(&slot.asked, size + ENTRY_OVERHEAD),
        };
        if slot.asked.load(Ordering::Relaxed) > ASKED_AT_ONCE {
            let limit = limits::memory_text(ASKED_AT_ONCE as u64);
            let message =
                format!("more than {limit} of this attempt's requests have not been answered");
            return self.refuse(&asker, ErrorCode::StoreUnavailable, message);
        }
        ask(self, asker);
    }

    fn refuse(&mut self, asker: &Asker, code: ErrorCode, message: String) {
        self.reply(
            asker,
            &ToExecutor::Refused {
                request: asker.request,
                code,
                message,
            },
        );
    }

    /// Does `verb` for who asks, and what follows with what it says; or refuses it with what the store says.
    fn read_for<T, F>(
        &self,
        asker: Asker,
        verb: F,
        work: impl FnOnce(&mut Self, &Asker, T) + Send + 'static,
    ) where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let done = self.then(move |scheduler, result| scheduler.settle(&asker, result, work));
        self.store.read(verb, done);
    }

    /// The same with a verb that writes, after all that was decided before. Nothing is while that cannot be written.
    fn write_for<T, F>(
        &mut self,
        asker: Asker,
        verb: F,
        work: impl FnOnce(&mut Self, &Asker, T) + Send + 'static,
    ) where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        if let Err(refusal) = self.writable() {
            return self.refuse(&asker, refusal.code, refusal.message);
        }
        self.write_claim(asker.run);
        self.write_turn();
        let gate = self.unwritten.gate();
        let done = self.then(move |scheduler, result| scheduler.settle(&asker, result, work));
        self.store.write(
            async move |tx| {
                gate.check()?;
                verb(tx).await
            },
            done,
        );
    }

    fn settle<T>(
        &mut self,
        asker: &Asker,
        result: Result<T, StoreError>,
        work: impl FnOnce(&mut Self, &Asker, T),
    ) {
        match result {
            Ok(value) => work(self, asker, value),
            Err(error) => self.refuse(asker, ErrorCode::StoreUnavailable, error.to_string()),
        }
    }

    fn add(&mut self, asker: Asker, key: String, value: Json, metadata: Option<Json>) {
        let fits = check_size(&key, &value, metadata.as_ref());
        if let Err(message) = rules::check_key(&key).and(fits) {
            return self.refuse(&asker, ErrorCode::InvalidMemory, message);
        }
        let now = self.clock.now();
        let entry_id = EntryId::new(now);
        let entry = Entry {
            entry_id,
            key: key.clone(),
            value: value.clone(),
            metadata,
            created_at: now,
            run_id: Some(asker.run),
            attempt: Some(asker.attempt),
        };
        let (project, memory) = (self.project.clone(), asker.memory);
        self.write_for(
            asker,
            async move |tx| memory::add(tx, &project, memory, &entry).await,
            move |scheduler, asker, added| match added {
                Added::Yes => {
                    let added = MemoryUse::Added { key, value };
                    scheduler.tell_of(asker.run, Happening::Memory(added));
                    scheduler.reply(
                        asker,
                        &ToExecutor::MemoryAdded {
                            request: asker.request,
                            entry_id,
                        },
                    );
                }
                Added::Full { bytes } => {
                    let excess = limits::excess(bytes, limits::MEMORY_BYTES).unwrap_or_default();
                    let message = format!("the memory would hold {excess}");
                    scheduler.refuse(asker, ErrorCode::MemoryFull, message);
                }
            },
        );
    }

    fn get(&mut self, asker: Asker, key: String) {
        let (project, memory, wanted) = (self.project.clone(), asker.memory, key.clone());
        self.read_for(
            asker,
            async move |tx| {
                let newest = memory::newest(tx, &project, memory, &wanted).await?;
                Ok(newest.map(|entry| entry.value))
            },
            move |scheduler, asker, value| {
                let found = value.is_some();
                let read = MemoryUse::Read { key, found };
                scheduler.tell_of(asker.run, Happening::Memory(read));
                scheduler.reply(
                    asker,
                    &ToExecutor::MemoryValue {
                        request: asker.request,
                        value,
                    },
                );
            },
        );
    }

    fn search(&mut self, asker: Asker, search: Search) {
        let (project, memory, query) = (self.project.clone(), asker.memory, search.query.clone());
        self.read_for(
            asker,
            async move |tx| memory::search(tx, &project, memory, &search).await,
            move |scheduler, asker, entries| {
                let found = entries.len();
                let searched = MemoryUse::Searched { query, found };
                scheduler.tell_of(asker.run, Happening::Memory(searched));
                scheduler.send_entries(asker, entries);
            },
        );
    }

    /// In as many messages as it takes, the last of which says so.
    fn send_entries(&mut self, asker: &Asker, entries: Vec<Entry>) {
        let request = asker.request;
        let mut waiting: Vec<WireEntry> = Vec::new();
        let mut size = 0;
        for entry in entries {
            let entry_size = entry_size(&entry);
            if size > 0 && size + entry_size > ENTRIES_AT_ONCE {
                let entries = std::mem::take(&mut waiting);
                self.reply(
                    asker,
                    &ToExecutor::MemoryEntries {
                        request,
                        entries,
                        more: true,
                    },
                );
                size = 0;
            }
            size += entry_size;
            waiting.push(entry.into());
        }
        self.reply(
            asker,
            &ToExecutor::MemoryEntries {
                request,
                entries: waiting,
                more: false,
            },
        );
    }

    fn remove(&mut self, asker: Asker, entry_id: Option<String>, key: Option<String>) {
        let what = match (&entry_id, &key) {
            (Some(entry_id), None) => format!("entry_id={entry_id}"),
            (None, Some(key)) => format!("key={key}"),
            (None, None) | (Some(_), Some(_)) => {
                let message = "memory.remove takes either entry_id or key".to_owned();
                return self.refuse(&asker, ErrorCode::InvalidMemory, message);
            }
        };
        // What is no id is that of no entry.
        let entry_id = entry_id.map(|id| id.parse().unwrap_or(EntryId::NONE));
        let (project, memory) = (self.project.clone(), asker.memory);
        self.write_for(
            asker,
            async move |tx| memory::remove(tx, &project, memory, entry_id, key.as_deref()).await,
            move |scheduler, asker, count| {
                let removed = MemoryUse::Removed { what, count };
                scheduler.tell_of(asker.run, Happening::Memory(removed));
                scheduler.reply(
                    asker,
                    &ToExecutor::MemoryRemoved {
                        request: asker.request,
                        count,
                    },
                );
            },
        );
    }

    fn integration_called(&mut self, asker: Asker, call: String) {
        let event = EventRecord {
            run_id: asker.run,
            attempt: asker.attempt,
            at: self.clock.now(),
            kind: "integration_called".to_owned(),
            body: call.clone(),
        };
        let mocked = self.settings.mocked;
        self.write_claim(asker.run);
        self.commit(vec![Change::Event(event)], move |scheduler| {
            scheduler.tell_of(asker.run, Happening::IntegrationCalled { call, mocked });
            scheduler.reply(
                &asker,
                &ToExecutor::Done {
                    request: asker.request,
                },
            );
        });
    }
}
