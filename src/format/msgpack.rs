//! MessagePack, as its specification has it, for the values of JSON.
//!
//! It is written in its shortest form. Read are also byte strings (as arrays of numbers), single floats, and
//! maps with whole numbers for keys (as their decimals), which others write. No extension types.

use serde_json::{Map, Number, Value as Json};

use crate::error::{Error, Result};
use crate::format::{MAX_DEPTH, too_deep};

/// The value, known not to be too deep.
pub(super) fn write(value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, value);
    out
}

fn put(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Null => out.push(0xc0),
        Json::Bool(value) => out.push(0xc2 | u8::from(*value)),
        Json::Number(number) => put_number(out, number),
        Json::String(text) => put_text(out, text),
        Json::Array(items) => {
            put_len(out, items.len(), (0x90, 16), [None, Some(0xdc), Some(0xdd)]);
            items.iter().for_each(|item| put(out, item));
        }
        Json::Object(fields) => {
            put_len(out, fields.len(), (0x80, 16), [None, Some(0xde), Some(0xdf)]);
            for (name, field) in fields {
                put_text(out, name);
                put(out, field);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len(), (0xa0, 32), [Some(0xd9), Some(0xda), Some(0xdb)]);
    out.extend_from_slice(text.as_bytes());
}

/// A length: in the marker itself below a limit, else behind the marker for one, two or four bytes.
fn put_len(out: &mut Vec<u8>, len: usize, (fixed, below): (u8, usize), markers: [Option<u8>; 3]) {
    let [short, middle, long] = markers;
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if usize::from(len) < below => out.push(fixed | len),
        (Ok(len), _) if short.is_some() => out.extend(short.into_iter().chain([len])),
        (_, Ok(len)) => out.extend(middle.into_iter().chain(len.to_be_bytes())),
        // Nothing is longer: a gigabyte is the longest value.
        _ => out.extend(long.into_iter().chain((len as u32).to_be_bytes())),
    }
}

fn put_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(value) = number.as_u64() {
        put_whole(out, value);
    } else if let Some(value) = number.as_i64() {
        put_negative(out, value);
    } else {
        out.push(0xcb);
        out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

fn put_whole(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend([0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        out.extend([0xcd].into_iter().chain(value.to_be_bytes()));
    } else if let Ok(value) = u32::try_from(value) {
        out.extend([0xce].into_iter().chain(value.to_be_bytes()));
    } else {
        out.extend([0xcf].into_iter().chain(value.to_be_bytes()));
    }
}

fn put_negative(out: &mut Vec<u8>, value: i64) {
    if value >= -32 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        out.extend([0xd0].into_iter().chain(value.to_be_bytes()));
    } else if let Ok(value) = i16::try_from(value) {
        out.extend([0xd1].into_iter().chain(value.to_be_bytes()));
    } else if let Ok(value) = i32::try_from(value) {
        out.extend([0xd2].into_iter().chain(value.to_be_bytes()));
    } else {
        out.extend([0xd3].into_iter().chain(value.to_be_bytes()));
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Json> {
    let mut input = Input { bytes, at: 0 };
    let value = input.value(MAX_DEPTH)?;
    if input.at < bytes.len() {
        return Err(input.wrong("there is something behind the value"));
    }
    Ok(value)
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn wrong(&self, problem: &str) -> Error {
        Error::invalid(format!("this msgpack is not what was asked for: {problem} at byte {}", self.at))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or_else(|| self.wrong("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    /// A big-endian number of so many bytes, at most eight.
    fn number(&mut self, len: usize) -> Result<u64> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> Result<i64> {
        let unused = 64 - 8 * len as u32;
        Ok((self.number(len)?.cast_signed() << unused) >> unused)
    }

    fn len(&mut self, len: usize) -> Result<usize> {
        usize::try_from(self.number(len)?).map_err(|_| self.wrong("a length that cannot be"))
    }

    fn marker(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn value(&mut self, levels: usize) -> Result<Json> {
        let marker = self.marker()?;
        Ok(match marker {
            0x00..=0x7f => marker.into(),
            0xe0..=0xff => marker.cast_signed().into(),
            0xc0 => Json::Null,
            0xc2 | 0xc3 => (marker == 0xc3).into(),
            0xca => {
                let bits = self.number(4)? as u32;
                self.float(f64::from(f32::from_bits(bits)))?
            }
            0xcb => {
                let bits = self.number(8)?;
                self.float(f64::from_bits(bits))?
            }
            0xcc..=0xcf => self.number(1 << (marker - 0xcc))?.into(),
            0xd0..=0xd3 => self.signed(1 << (marker - 0xd0))?.into(),
            0xa0..=0xbf | 0xd9..=0xdb => Json::String(self.text(marker)?),
            0xc4..=0xc6 => {
                let len = self.len(1 << (marker - 0xc4))?;
                Json::Array(self.take(len)?.iter().map(|byte| Json::from(*byte)).collect())
            }
            0x90..=0x9f | 0xdc | 0xdd => self.array(marker, levels)?,
            0x80..=0x8f | 0xde | 0xdf => self.object(marker, levels)?,
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(self.wrong("an extension type, which JSON has not,"));
            }
        })
    }

    fn float(&self, value: f64) -> Result<Json> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| self.wrong("a float that is no number"))
    }

    fn text(&mut self, marker: u8) -> Result<String> {
        let len = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            _ => self.len(1 << (marker - 0xd9))?,
        };
        let text = std::str::from_utf8(self.take(len)?);
        text.map(str::to_owned).map_err(|_| self.wrong("a string that is not UTF-8"))
    }

    /// How many items follow. Each has a byte at least, so that what is claimed has to be there.
    fn count(&mut self, marker: u8, wide: u8, bytes_each: usize) -> Result<usize> {
        let count = match marker {
            0x80..=0x9f => usize::from(marker & 0xf),
            _ => self.len(2 << (marker - wide))?,
        };
        if count > (self.bytes.len() - self.at) / bytes_each {
            return Err(self.wrong("it ends too early"));
        }
        Ok(count)
    }

    fn array(&mut self, marker: u8, levels: usize) -> Result<Json> {
        let levels = levels.checked_sub(1).ok_or_else(too_deep)?;
        let count = self.count(marker, 0xdc, 1)?;
        (0..count).map(|_| self.value(levels)).collect::<Result<Vec<_>>>().map(Json::Array)
    }

    fn object(&mut self, marker: u8, levels: usize) -> Result<Json> {
        let levels = levels.checked_sub(1).ok_or_else(too_deep)?;
        let mut fields = Map::new();
        for _ in 0..self.count(marker, 0xde, 2)? {
            let name = match self.value(0)? {
                Json::String(name) => name,
                Json::Number(name) if !name.is_f64() => name.to_string(),
                _ => return Err(self.wrong("a name that is no string")),
            };
            let field = self.value(levels)?;
            if fields.insert(name, field).is_some() {
                return Err(self.wrong("a name that was there before"));
            }
        }
        Ok(Json::Object(fields))
    }
}
