//! What the two formats have in common: bytes in, lines out.

use crate::exit::Result;

/// One line of the input, or what is wrong with it.
pub(crate) struct Line<'a> {
    /// Counted from one.
    pub(crate) number: u64,
    /// A JSON text, not yet checked; or why there is none.
    pub(crate) text: Result<&'a [u8], String>,
}

/// Is called with each line.
pub(crate) type Each<'a> = dyn FnMut(Line<'_>) -> Result<()> + 'a;

/// Finds the lines in what is read. A line may begin in one chunk and end in a later one.
pub(crate) trait Split {
    /// Takes the next bytes, and gives the lines that end in them.
    fn feed(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<()>;

    /// The input is at its end, and so is the line that was not ended.
    fn end(&mut self, each: &mut Each<'_>) -> Result<()>;

    /// The number of the line that has begun and not ended, if there is one.
    fn unfinished(&self) -> Option<u64>;
}
