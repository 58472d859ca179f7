//! What a run is asked to do: the JSON profile and its checks.
pub mod packet;
pub mod values;
