//! The control side: configuration, the appliance, the API.

pub mod api;
pub mod appliance;
pub mod config;
