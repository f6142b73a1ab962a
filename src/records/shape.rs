//! How records are declared: their fields, their defaults, and what is kept of what nobody declared.
//!
//! serde's derive would bring six crates, more than a fifth of what the library stands on; these two macros
//! are what records need of it. Writing is direct, as records are captured at speed; reading goes through a
//! map, from which each field takes its own.

use serde_core::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value as Json;

use crate::format::Metadata;

/// The fields of a record that is being read.
pub(super) struct Fields(Metadata);

impl Fields {
    pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Metadata::deserialize(deserializer).map(Self)
    }

    /// Takes a field out. Unless it is required, its default stands for one that is missing or null.
    pub(super) fn take<T: DeserializeOwned, E: de::Error>(
        &mut self,
        name: &'static str,
        default: T,
        required: bool,
    ) -> Result<T, E> {
        match self.0.remove(name) {
            None if required => Err(E::missing_field(name)),
            None => Ok(default),
            Some(Json::Null) if !required => Ok(default),
            Some(value) => {
                serde_json::from_value(value).map_err(|error| E::custom(format!("field '{name}': {error}")))
            }
        }
    }

    /// What nobody took.
    pub(super) fn rest(self) -> Metadata {
        self.0
    }
}

/// A record: its fields with their defaults, and after `required` those that it means nothing without.
macro_rules! record {
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (
        $(#[$meta:meta])*
        $name:ident required [$($required:ident),*] {
            $($(#[$doc:meta])* $field:ident: $type:ty $(= $default:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
            /// Fields that this version does not know. One with the name of a known field is not written.
            pub extra: $crate::format::Metadata,
        }

        impl $name {
            const FIELDS: &[&str] = &[$(stringify!($field)),*];
            const REQUIRED: &[&str] = &[$(stringify!($required)),*];
        }

        impl Default for $name {
            fn default() -> Self {
                let extra = Default::default();
                Self { $($field: $crate::records::shape::record!(@default $($default)?),)* extra }
            }
        }

        impl serde_core::Serialize for $name {
            fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde_core::ser::SerializeMap;
                let extra = || self.extra.iter().filter(|(name, _)| !Self::FIELDS.contains(&name.as_str()));
                let mut map = serializer.serialize_map(Some(Self::FIELDS.len() + extra().count()))?;
                $(map.serialize_entry(stringify!($field), &self.$field)?;)*
                for (name, value) in extra() {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }

        impl<'de> serde_core::Deserialize<'de> for $name {
            fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut fields = $crate::records::shape::Fields::read(deserializer)?;
                let default = Self::default();
                Ok(Self {
                    $($field: {
                        let name = stringify!($field);
                        fields.take(name, default.$field, Self::REQUIRED.contains(&name))?
                    },)*
                    extra: fields.rest(),
                })
            }
        }
    };
}

/// An enumeration of words, the first of which is the default, that keeps words it does not know.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident { $(#[$first_doc:meta])* $first:ident = $first_word:literal, $($(#[$doc:meta])* $variant:ident = $word:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$doc])* $variant,)*
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The word as the library writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $first_word => Self::$first,
                    $($word => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde_core::Serialize for $name {
            fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde_core::Deserialize<'de> for $name {
            fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|word| word.as_str().into())
            }
        }
    };
}

pub(super) use record;
pub(super) use words;
