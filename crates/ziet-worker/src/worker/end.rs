//! How executors end: told to, found out, or by themselves.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ziet_core::wire::Level;

use super::{Ended, ExecutorId, Worker, WorkerError, WorkerEvent, in_thread};
use crate::executor::{Executor, Phase};
use crate::os::{self, Ending, Group};
use crate::private::remove;
use crate::stack::Stack;
use crate::zygote::{Farewell, Zygote};

/// How long an executor whose time is up may take to show its stack.
const STACK_TIME: Duration = Duration::from_millis(50);

/// How long an import whose time is up may take for that: nobody's deadline is kept late meanwhile.
const IMPORT_STACK_TIME: Duration = Duration::from_millis(500);

/// How long strays that were sent SIGKILL may take to die before they are looked at again.
const STRAYS_PAUSE: Duration = Duration::from_millis(20);

impl Worker {
    /// Ends an executor and what it started; nothing that it has sent or sends counts from here on. Answered by
    /// [`WorkerEvent::Stopped`] once SIGKILL is sent: at once, or with `stack` when that has come or 50 ms are over.
    pub fn stop(&mut self, executor: ExecutorId, stack: bool, now: Instant) {
        let id = executor.0;
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        match (&executor.phase, &mut executor.link, executor.pid) {
            (Phase::Busy, Some(link), Some(pid)) if stack => {
                link.stack.clear(&mut self.buffer);
                let signal = link.stack_signal;
                let until = now + STACK_TIME;
                self.enter(id, Phase::Dumping { until });
                os::send_signal(pid, signal);
            }
            (Phase::Busy, _, _) => self.kill(id),
            (
                Phase::Arriving { .. } | Phase::Idle | Phase::Dumping { .. } | Phase::Killed,
                _,
                _,
            ) => {}
        }
    }

    /// Sends SIGKILL and says so.
    pub(super) fn kill(&mut self, id: u64) {
        // What it has used cannot be read any more when it is dead.
        let usage = self.executors.get(&id).and_then(Executor::usage);
        self.retire(id);
        let stack = self.stack_of(id);
        self.events.push_back(WorkerEvent::Stopped {
            executor: ExecutorId(id),
            stack,
            usage,
        });
    }

    /// Ends one that nobody has to be told of.
    pub(super) fn retire(&mut self, id: u64) {
        self.enter(id, Phase::Killed);
        self.pool.remove(id);
        self.end_process(id);
    }

    /// It did what no executor does. One in an attempt ends with its process, whose exit tells of both.
    pub(super) fn found_out(&mut self, id: u64, fault: impl FnOnce() -> String) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        if executor.phase == Phase::Busy {
            executor.fault.get_or_insert_with(fault);
            self.end_process(id);
        } else {
            self.retire(id);
        }
    }

    /// Its stack, or its hello, has not come in time.
    pub(super) fn on_late(&mut self, id: u64) {
        let Some(executor) = self.executors.get(&id) else {
            return;
        };
        if matches!(executor.phase, Phase::Dumping { .. }) {
            return self.kill(id);
        }
        if executor.zygote_pid.is_none() {
            // Without it no exit is told and nothing is made: it is as good as gone.
            return self.end_zygote(Farewell::Kill, |_, said| WorkerError::Stuck { said });
        }
        self.retire(id);
        self.not_forked("it was not ready in time".to_owned());
    }

    /// Ends an import whose time is up, when it has shown where it is.
    pub(super) fn on_late_import(&mut self) {
        self.read_zygote_output(Level::Warn);
        let Some(zygote) = &mut self.zygote else {
            return;
        };
        let python = zygote.python_pid(self.settings.sandbox);
        let Some(loading) = &mut zygote.loading else {
            return;
        };
        let Some(text) = &loading.stack else {
            loading.stack = Some(String::new());
            loading.until = self.now + IMPORT_STACK_TIME;
            if let Some(pid) = python {
                os::send_signal(pid, os::STACK_SIGNAL);
            }
            return;
        };
        let root = &self.settings.project.root;
        let mut stack = Stack::parse(text, zygote.sdk_folder.as_ref(), root);
        // Before the project's own come those of `importlib`.
        let own = stack.frames.iter().position(|frame| frame.user);
        stack.frames.drain(..own.unwrap_or_default());
        let stack = stack.traceback("").trim_end().to_owned();
        self.end_zygote(Farewell::Kill, |_, said| WorkerError::ImportTime {
            said,
            stack,
        });
    }

    pub(super) fn stack_of(&mut self, id: u64) -> Stack {
        let link = self
            .executors
            .get_mut(&id)
            .and_then(|executor| executor.link.as_mut());
        let (Some(link), Some(zygote)) = (link, &self.zygote) else {
            return Stack::default();
        };
        let text = String::from_utf8_lossy(link.stack.bytes());
        Stack::parse(
            &text,
            zygote.sdk_folder.as_ref(),
            &self.settings.project.root,
        )
    }

    /// Its process has ended, by itself or not, and everything that it sent is read.
    pub(super) fn on_ended(&mut self, id: u64, ending: Ending) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        match executor.phase {
            Phase::Killed => {}
            // It died of something else before its stack had come.
            Phase::Dumping { .. } => self.kill(id),
            Phase::Arriving { .. } => self.did_not_arrive(ending),
            Phase::Idle => self.pool.remove(id),
            Phase::Busy
                if ending == Ending::Signal(9)
                    && executor.fault.is_none()
                    && let Some(shortage) =
                        executor.group.as_ref().and_then(Group::ran_out_of_memory) =>
            {
                self.events.push_back(WorkerEvent::Exceeded {
                    executor: ExecutorId(id),
                    excess: executor.excess(shortage),
                    usage: executor.usage(),
                });
            }
            Phase::Busy => {
                let fault = executor.fault.take();
                let stderr = executor.tail.take();
                let usage = executor.usage();
                let stack = self.stack_of(id);
                let ended = Ended {
                    executor: ExecutorId(id),
                    ending,
                    fault,
                    stack,
                    stderr,
                    usage,
                };
                self.events.push_back(WorkerEvent::Ended(ended));
            }
        }
        self.forget(id);
    }

    /// Ends what a zygote that is gone has left to this process. What that leaves in turn comes a moment later.
    pub(super) fn end_strays(&mut self) {
        let zygote = self.zygote.iter().map(Zygote::pid).collect();
        let more = self.strays.end(&zygote);
        self.strays_at = more.then(|| self.now + STRAYS_PAUSE);
        if !more {
            self.remove_old_folders();
        }
    }

    /// There is no such executor any more.
    pub(super) fn forget(&mut self, id: u64) {
        self.enter(id, Phase::Killed);
        let Some(mut executor) = self.executors.remove(&id) else {
            return;
        };
        self.end_group(executor.group.take());
        // An executor makes one only when it uses it.
        if let Some(scratch) = executor.close(&self.registry)
            && fs_err::remove_dir(&scratch).is_err_and(|error| error.kind() != ErrorKind::NotFound)
        {
            self.scratch_removals
                .retain(|(_, removal)| !removal.is_finished());
            self.remove_scratch(vec![scratch]);
        }
        if self.executors.is_empty() {
            self.pool.emptied(self.now);
        }
    }

    /// Removes files and folders. There may be much in them, so that is left to a thread; what that cannot remove is
    /// found by the next walk, and goes with the folder that it is in.
    pub(super) fn remove_scratch(&mut self, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            return;
        }
        let named = paths.clone();
        let removal = in_thread(move || paths.iter().for_each(|path| remove(path)));
        self.scratch_removals
            .extend(removal.map(|removal| (named, removal)));
    }
}
