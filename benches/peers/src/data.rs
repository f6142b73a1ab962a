//! What is stored: keys, records and bodies of a gateway, and the seeded streams that choose among them. All
//! of it is made before the clock starts, and is the same for every engine and every round.

use std::fmt::Write;

/// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// From 0 up to before 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// So many numbers below `end`.
    pub(crate) fn picks(&mut self, count: u64, end: u64) -> Vec<u64> {
        (0..count).map(|_| self.below(end)).collect()
    }
}

/// How many captured requests a group has: those that one prefix lists.
pub(crate) const GROUP: u64 = 1000;

/// The prefix of a group of captured requests.
pub(crate) fn group_prefix(group: u64) -> String {
    format!("logs/request/{group:06}")
}

/// The key of the `index`th captured request: in order, with a tail that cannot be guessed.
pub(crate) fn request_key(index: u64) -> String {
    let tail = Chance(index).next() >> 32;
    format!("{}/{:04}-{tail:08x}", group_prefix(index / GROUP), index % GROUP)
}

/// A key that lies between captured ones and was never put.
pub(crate) fn absent_key(index: u64) -> String {
    let mut key = request_key(index);
    key.push('x');
    key
}

/// Keys of one length, end to end, so that reading the next one costs next to nothing.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    len: usize,
}

impl Keys {
    pub(crate) fn new<K: AsRef<[u8]>>(keys: impl Iterator<Item = K>) -> Self {
        let (mut bytes, mut len) = (Vec::new(), 1);
        for key in keys {
            len = key.as_ref().len();
            bytes.extend_from_slice(key.as_ref());
        }
        Self { bytes, len }
    }

    pub(crate) fn requests(count: u64) -> Self {
        Self::new((0..count).map(request_key))
    }

    pub(crate) fn get(&self, index: u64) -> &[u8] {
        let start = index as usize * self.len;
        &self.bytes[start..start + self.len]
    }

    pub(crate) fn len(&self) -> u64 {
        (self.bytes.len() / self.len) as u64
    }
}

/// The `index`th of the random keys: 16 bytes, no two alike.
pub(crate) fn random_key(index: u64) -> [u8; 16] {
    let mut chance = Chance(index.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut key = [0; 16];
    key[..8].copy_from_slice(&chance.next().to_be_bytes());
    key[8..].copy_from_slice(&chance.next().to_be_bytes());
    key
}

/// 65,536 JSON request records of about 405 bytes.
pub(crate) struct Records(Vec<String>);

impl Records {
    pub(crate) fn new() -> Self {
        let mut chance = Chance(7);
        Self((0..1 << 16).map(|_| record(&mut chance)).collect())
    }

    pub(crate) fn get(&self, index: u64) -> &[u8] {
        self.0[index as usize % self.0.len()].as_bytes()
    }

    /// The first bytes of one.
    pub(crate) fn start(&self, index: u64, len: usize) -> &[u8] {
        &self.get(index)[..len]
    }

    /// Bytes of the first so many records, round the pool as often as it takes.
    pub(crate) fn bytes(&self, count: u64) -> u64 {
        (0..count).map(|index| self.get(index).len() as u64).sum()
    }
}

fn record(chance: &mut Chance) -> String {
    let models = ["gpt-4o-mini", "claude-sonnet-4", "llama-3.1-70b-instruct", "mistral-large"];
    let providers = ["openai", "anthropic", "bedrock", "vertex", "azure"];
    let mut pick = |names: &[&'static str]| names[chance.below(names.len() as u64) as usize];
    let (model, provider) = (pick(&models), pick(&providers));
    let (request, trace) = (chance.next(), chance.next());
    let (tokens_in, tokens_out) = (chance.below(32_000), chance.below(4_000));
    let (latency, first) = (chance.below(30_000), chance.below(2_000));
    let (tenant, key) = (chance.below(500), chance.next() >> 32);
    format!(
        concat!(
            r#"{{"type":"log","timestamp":"2026-03-14T09:26:53.{:06}Z","request_id":"req-{:016x}","#,
            r#""trace_id":"{:016x}","tenant":"tenant-{:03}","api_key":"sk-{:08x}","model_id":"{}","#,
            r#""provider_id":"{}","capability":"chat-completion","#,
            r#""delivery_mode":"stream","latency_ms":{},"first_token_ms":{},"status_code":200,"#,
            r#""tokens_in":{},"tokens_out":{},"cost":0.{:06},"cache":"miss","attempt":1,"error":null}}"#
        ),
        latency * 33 % 1_000_000,
        request,
        trace,
        tenant,
        key,
        model,
        provider,
        latency,
        first,
        tokens_in,
        tokens_out,
        tokens_out * 7 % 1_000_000,
    )
}

/// Bodies of 4 to 256 KiB, log-uniform: text that compresses as JSON does, cut from one long piece of it.
pub(crate) struct Bodies {
    text: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl Bodies {
    const LEAST: f64 = 4096.0;
    const MOST: f64 = 262_144.0;
    const TEXT: usize = 32 << 20;

    pub(crate) fn new(count: u64) -> Self {
        let mut chance = Chance(11);
        let mut text = String::with_capacity(Self::TEXT + 1024);
        while text.len() < Self::TEXT {
            let _ = writeln!(text, "{}", record(&mut chance));
        }
        let place = |_| {
            let len = (Self::LEAST * (Self::MOST / Self::LEAST).powf(chance.share())) as usize;
            (chance.below((Self::TEXT - len) as u64) as usize, len)
        };
        Self { places: (0..count).map(place).collect(), text: text.into_bytes() }
    }

    pub(crate) fn get(&self, index: u64) -> &[u8] {
        let (start, len) = self.places[index as usize];
        &self.text[start..start + len]
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.places.iter().map(|(_, len)| *len as u64).sum()
    }
}

/// Zipfian choice with the exponent 0.99 (Gray and others, "Quickly Generating Billion-Record Synthetic
/// Databases", 1994), 0 the most frequent.
pub(crate) struct Zipf {
    items: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    pub(crate) fn new(items: u64) -> Self {
        let zeta_of = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-Self::THETA)).sum::<f64>();
        let zeta = zeta_of(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - Self::THETA)) / (1.0 - zeta_of(2) / zeta);
        Self { items: items as f64, zeta, alpha: 1.0 / (1.0 - Self::THETA), eta }
    }

    pub(crate) fn next(&self, chance: &mut Chance) -> u64 {
        let share = chance.share();
        let scaled = share * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(Self::THETA) {
            return 1;
        }
        let rank = self.items * (self.eta * share - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.items as u64 - 1)
    }

    pub(crate) fn picks(&self, chance: &mut Chance, count: u64) -> Vec<u64> {
        (0..count).map(|_| self.next(chance)).collect()
    }
}
