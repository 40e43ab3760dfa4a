//! A value kept as bytes, for states that are many and mostly rest.
//!
//! **Meaning.** [`Packed`] is the value that was packed last, the default one before that.
//!
//! **Mechanism.** The serialised form: numbers take the bytes they need, what is not there takes one, and the whole lies
//! in one piece. Unpacking and packing cost less than a microsecond for a hundred bytes, so it is for what changes now
//! and then.
//!
//! **State.** The bytes.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A value as bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packed<T> {
    /// Empty for the default value.
    bytes: Box<[u8]>,
    value: PhantomData<T>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self { bytes: Box::default(), value: PhantomData }
    }
}

impl<T: Default + Serialize + DeserializeOwned> Packed<T> {
    /// The value.
    pub fn unpack(&self) -> T {
        match self.bytes.is_empty() {
            true => T::default(),
            false => postcard::from_bytes(&self.bytes).expect("bytes that such a value was packed to"),
        }
    }

    /// Takes `value` in the place of what is there.
    pub fn pack(&mut self, value: &T) {
        // A value without a byte is all there is of its type, and thus the default.
        self.bytes = postcard::to_stdvec(value).expect("our own types can be serialised").into();
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn what_is_packed_comes_out() {
        let mut packed: Packed<(Option<i64>, Vec<String>)> = Packed::default();
        assert_eq!(packed.unpack(), (None, Vec::new()));
        let value = (Some(-5), vec!["街".to_owned(), String::new()]);
        packed.pack(&value);
        assert_eq!(packed.unpack(), value);
        let again: Packed<(Option<i64>, Vec<String>)> =
            postcard::from_bytes(&postcard::to_stdvec(&packed).unwrap()).unwrap();
        assert_eq!(again.unpack(), value);
        packed.pack(&(None, Vec::new()));
        assert_eq!(packed.unpack(), (None, Vec::new()));
    }
}
