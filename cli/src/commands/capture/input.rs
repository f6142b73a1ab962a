//! Reading in a thread of its own, so that a signal can interrupt a capture whose pipe is silent.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};

use crate::exit::{Failure, Result};

/// So much is read at once, where there is so much.
const CHUNK: usize = 256 << 10;

/// So many chunks may wait.
const AHEAD: usize = 4;

/// What the reader has to tell. After an error, or the end, it hangs up.
enum Message {
    /// The input is open, and has this length if that is known.
    Opened(Option<u64>),
    Chunk(Chunk),
    Failed(io::Error),
}

struct Chunk {
    buffer: Vec<u8>,
    len: usize,
}

/// How the input came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Reached,
    Interrupted,
}

pub(crate) struct Input {
    /// The file's name as given, or `-`.
    pub(crate) name: String,
    messages: Receiver<Message>,
    /// Buffers to be used again.
    spare: Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Nothing more is to be read.
    stop: AtomicBool,
    /// The reader holds bytes that it has not handed over yet.
    holding: AtomicBool,
}

impl Input {
    /// Starts to open and read a file, or standard input.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let (sender, messages) = bounded(AHEAD);
        let (spare, spares) = bounded(AHEAD + 2);
        let shared = Arc::new(Shared::default());
        let name = file.map_or("-".into(), |file| file.display().to_string());
        let reader = Reader { messages: sender, spares, shared: shared.clone() };
        let file = file.map(PathBuf::from);
        let thread = std::thread::Builder::new().name("reader".into()).spawn(move || reader.run(file));
        thread.map_err(|error| Failure::new(format!("cannot start a thread: {error}; try again")))?;
        Ok(Self { name, messages, spare, shared })
    }

    /// Its length, if it has one. Opening a named pipe waits for its writer.
    pub(crate) fn wait_until_open(&self, signals: &Receiver<()>) -> Result<Option<u64>> {
        let message = select! {
            recv(self.messages) -> message => message,
            recv(signals) -> _ => return Err(Failure::new(format!(
                "interrupted before '{}' could be opened; nothing was stored",
                self.name
            ))),
        };
        match message {
            Ok(Message::Opened(len)) => Ok(len),
            Ok(Message::Failed(error)) => Err(self.failure(&error)),
            Ok(Message::Chunk(_)) | Err(_) => Ok(None),
        }
    }

    /// Hands over everything there is, until the end or a signal.
    pub(crate) fn pump(
        &self,
        signals: &Receiver<()>,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<End> {
        loop {
            let message = select! {
                recv(self.messages) -> message => message,
                recv(signals) -> _ => {
                    self.drain(take)?;
                    return Ok(End::Interrupted);
                }
            };
            match message {
                Ok(message) => self.give(message, &mut take)?,
                Err(_) => return Ok(End::Reached),
            }
        }
    }

    /// Hands over what was already read when the signal came.
    fn drain(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.shared.stop.store(true, Ordering::SeqCst);
        loop {
            // Asked before looking: what the reader held then is either in the channel now, or will be.
            let held = self.shared.holding.load(Ordering::SeqCst);
            let message = match self.messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) if held => match self.messages.recv() {
                    Ok(message) => message,
                    Err(_) => return Ok(()),
                },
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            };
            self.give(message, &mut take)?;
        }
    }

    fn give(&self, message: Message, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match message {
            Message::Opened(_) => Ok(()),
            Message::Failed(error) => Err(self.failure(&error)),
            Message::Chunk(chunk) => {
                take(chunk.buffer.get(..chunk.len).unwrap_or_default())?;
                // Where there are enough, this one may go.
                let _ = self.spare.try_send(chunk.buffer);
                Ok(())
            }
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::new(format!("cannot read '{}': {error}; check the path", self.name))
    }
}

/// The reading thread.
struct Reader {
    messages: Sender<Message>,
    spares: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(&self, file: Option<PathBuf>) {
        let read = match file {
            Some(path) => File::open(path).and_then(|file| {
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                self.read(file, metadata.is_file().then_some(metadata.len()))
            }),
            None => self.read(io::stdin().lock(), None),
        };
        if let Err(error) = read {
            // Where nobody listens any more the error comes too late to matter.
            let _ = self.messages.send(Message::Failed(error));
        }
    }

    fn read(&self, mut source: impl Read, len: Option<u64>) -> io::Result<()> {
        let mut open = self.messages.send(Message::Opened(len)).is_ok();
        while open && !self.shared.stop.load(Ordering::SeqCst) {
            let mut buffer = self.spares.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
            let len = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.shared.holding.store(true, Ordering::SeqCst);
            open = self.messages.send(Message::Chunk(Chunk { buffer, len })).is_ok();
            self.shared.holding.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}
