//! `dispatch`: hands packets to actors, by the rules that programs have registered. Everything else passes
//! untouched.

use serde_json::Value;

use super::NoSettings;
use crate::chain::actor::Actors;
use crate::chain::{BuildContext, BuildError, ReloadError, Stage, StageControl, StageType};

/// The kind `dispatch`. Its rules are what is [registered](Actors::register).
#[derive(Debug, Clone, Copy, Default)]
pub struct Dispatch;

impl StageType for Dispatch {
    const NAME: &'static str = "dispatch";
    const SUMMARY: &'static str = "hands packets to actors by their flow, and lets all others pass";
    type Settings = NoSettings;

    fn build(_: NoSettings, context: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        let actors = context.actors.clone();
        let actors =
            actors.ok_or_else(|| BuildError("there are no actors without a scheduler".into()))?;
        Ok(Box::new(Control(actors)))
    }
}

struct Control(Actors);

impl StageControl for Control {
    fn shard(&mut self, _core: usize) -> Box<dyn Stage> {
        self.0.dispatch()
    }

    fn reload(&mut self, _config: &Value) -> Result<(), ReloadError> {
        Ok(()) // there is nothing to change
    }
}
