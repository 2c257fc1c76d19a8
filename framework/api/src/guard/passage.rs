//! One call through a gate, from the question whether it may be made to its end.

use super::{Answer, Call, Decision, Finish, Gate, Method, Unavailable, UnavailableReason};
use crate::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// How an answer becomes a text, and a text an answer.
pub struct Codec<R> {
    encode: fn(&R) -> Option<String>,
    decode: fn(&str) -> Option<R>,
}

impl<R> Codec<R> {
    /// For an answer that is alive: there is no text for it.
    #[must_use]
    pub const fn none() -> Self {
        Self { encode: |_| None, decode: |_| None }
    }
}

impl<R: Serialize + DeserializeOwned> Codec<R> {
    /// For plain data.
    #[must_use]
    pub const fn json() -> Self {
        Self {
            encode: |answer| serde_json::to_string(answer).ok(),
            decode: |text| serde_json::from_str(text).ok(),
        }
    }
}

/// One call through a gate. Dropping it tells the gate that the call has ended.
pub struct Passage {
    gate: Option<Arc<dyn Gate>>,
    method: &'static Method,
    decision: Decision,
    finish: Finish,
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.finished(self.method, self.finish);
        }
    }
}

/// What is left of a decision once nobody waits any more.
enum Ruling {
    Make { watched_as: Option<u64> },
    Refuse(Unavailable),
    Answer(String),
}

impl Passage {
    pub(super) fn begin(gate: Option<&Arc<dyn Gate>>, call: &Call<'_>) -> Self {
        let decision = gate.map_or(Decision::Pass, |gate| gate.before(call));
        Self { gate: gate.cloned(), method: call.method, decision, finish: Finish::Dropped }
    }

    /// Makes an asynchronous call.
    pub async fn run<'a, R: Answer + Send>(
        mut self,
        call: impl FnOnce() -> BoxFuture<'a, R> + Send,
        codec: Codec<R>,
    ) -> R {
        let Some(gate) = self.gate.clone() else { return call().await };
        let ruling = self.ruling_after_waiting().await;
        let watched_as = match self.obey(ruling, &codec) {
            Ok(watched_as) => watched_as,
            Err(answer) => return answer,
        };
        let outcome = match self.made(&*gate, call) {
            Ok(future) => GatedFuture::new(gate, self.method, future).await,
            Err(words) => Err(words),
        };
        self.conclude(outcome, watched_as, &codec)
    }

    /// Makes a call that answers at once. It can't wait.
    pub fn now<R: Answer>(mut self, call: impl FnOnce() -> R, codec: Codec<R>) -> R {
        let Some(gate) = self.gate.clone() else { return call() };
        let ruling = self.ruling();
        match self.obey(ruling, &codec) {
            Ok(watched_as) => {
                let outcome = self.made(&*gate, call);
                self.conclude(outcome, watched_as, &codec)
            }
            Err(answer) => answer,
        }
    }

    /// Makes a call that answers with a future. The call is made at once; a wait delays the future.
    pub fn future<'a, R: Answer + Send + 'a>(
        mut self,
        call: impl FnOnce() -> BoxFuture<'a, R>,
        codec: Codec<R>,
    ) -> BoxFuture<'a, R> {
        let Some(gate) = self.gate.clone() else { return call() };
        let made = self.made(&*gate, call);
        let made = made.map(|future| GatedFuture::new(gate, self.method, future));
        Box::pin(async move {
            let ruling = self.ruling_after_waiting().await;
            let watched_as = match self.obey(ruling, &codec) {
                Ok(watched_as) => watched_as,
                Err(answer) => return answer,
            };
            let outcome = match made {
                Ok(future) => future.await,
                Err(words) => Err(words),
            };
            self.conclude(outcome, watched_as, &codec)
        })
    }

    /// The same for a future that has nothing to say when the call fails: it then never completes. So a clock that
    /// broke stands still, and does not turn every loop that sleeps into one that spins.
    pub fn future_or_never<'a, R: Send + 'a>(
        mut self,
        call: impl FnOnce() -> BoxFuture<'a, R>,
    ) -> BoxFuture<'a, R> {
        let Some(gate) = self.gate.clone() else { return call() };
        let made = self.made(&*gate, call);
        let made = made.map(|future| GatedFuture::new(gate, self.method, future));
        Box::pin(async move {
            if let (Ruling::Make { .. }, Ok(future)) = (self.ruling_after_waiting().await, made)
                && let Ok(answer) = future.await
            {
                self.end(true);
                return answer;
            }
            self.end(false);
            std::future::pending().await
        })
    }

    /// Says how work that was run besides the passage has ended.
    pub(super) fn end(mut self, well: bool) {
        self.finish = if well { Finish::Answered } else { Finish::Panicked };
    }

    /// The first step of the work: the call itself.
    fn made<R>(&self, gate: &dyn Gate, call: impl FnOnce() -> R) -> Result<R, String> {
        let mut call = Some(call);
        let mut made = None;
        gate.step(self.method, &mut || made = call.take().map(|call| call()))?;
        made.ok_or_else(|| "the gate did not run the call".to_owned())
    }

    fn ruling(&mut self) -> Ruling {
        match std::mem::replace(&mut self.decision, Decision::Pass) {
            Decision::Pass | Decision::Wait(_) => Ruling::Make { watched_as: None },
            Decision::Watch(token) => Ruling::Make { watched_as: Some(token) },
            Decision::Refuse(why) => Ruling::Refuse(why),
            Decision::Answer(text) => Ruling::Answer(text),
        }
    }

    async fn ruling_after_waiting(&mut self) -> Ruling {
        match std::mem::replace(&mut self.decision, Decision::Pass) {
            Decision::Wait(wait) => self.decision = wait.await,
            decided => self.decision = decided,
        }
        self.ruling()
    }

    /// The token of the call if it is to be made, else what to answer without making it.
    fn obey<R: Answer>(&mut self, ruling: Ruling, codec: &Codec<R>) -> Result<Option<u64>, R> {
        match ruling {
            Ruling::Make { watched_as } => Ok(watched_as),
            Ruling::Refuse(why) => {
                self.finish = Finish::Refused;
                Err(R::unavailable(&why))
            }
            Ruling::Answer(text) => {
                self.finish = Finish::Refused;
                let recorded = (codec.decode)(&text);
                Err(recorded.unwrap_or_else(|| R::unavailable(&self.not_replayable())))
            }
        }
    }

    fn not_replayable(&self) -> Unavailable {
        let Method { seam, name, .. } = self.method;
        let plugin_id = self.gate.as_ref().map(|gate| gate.plugin_id().to_owned()).unwrap_or_default();
        let reason = format!("no answer of {seam}.{name} can be made from what was recorded");
        Unavailable { plugin_id, reason: UnavailableReason::Refused(reason) }
    }

    fn conclude<R: Answer>(
        &mut self,
        outcome: Result<R, String>,
        watched_as: Option<u64>,
        codec: &Codec<R>,
    ) -> R {
        let Some(gate) = self.gate.as_ref() else {
            // Unreachable by construction: whoever has an outcome came through a gate.
            return outcome.unwrap_or_else(|words| R::unavailable(&Unavailable::panicked("", words)));
        };
        let (answer, finish) = match outcome {
            Ok(answer) if answer.is_failure() => (answer, Finish::Failed),
            Ok(answer) => (answer, Finish::Answered),
            Err(words) => (R::unavailable(&Unavailable::panicked(gate.plugin_id(), words)), Finish::Panicked),
        };
        self.finish = finish;
        if let Some(token) = watched_as {
            gate.outcome(token, self.method, (codec.encode)(&answer));
        }
        answer
    }
}

/// A future whose polls and whose drop are steps of a gate. Its error is the words of a panic.
pub(super) struct GatedFuture<'a, R> {
    gate: Arc<dyn Gate>,
    method: &'static Method,
    /// Empty once it is complete.
    future: Option<BoxFuture<'a, R>>,
}

impl<'a, R> GatedFuture<'a, R> {
    pub(super) fn new(gate: Arc<dyn Gate>, method: &'static Method, future: BoxFuture<'a, R>) -> Self {
        Self { gate, method, future: Some(future) }
    }

    fn drop_inner(&mut self) {
        if self.future.is_some() {
            let mut future = self.future.take();
            // A panic here has been noted by the gate; the call has its outcome already, or nobody waits for one.
            let _ = self.gate.step(self.method, &mut || drop(future.take()));
        }
    }
}

impl<R> Future for GatedFuture<'_, R> {
    type Output = Result<R, String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut polled = Poll::Pending;
        let future = &mut this.future;
        let step = this.gate.step(this.method, &mut || {
            if let Some(running) = future {
                polled = running.as_mut().poll(context);
                if polled.is_ready() {
                    // Dropped within the same step: what it leaves is the plugin's too.
                    *future = None;
                }
            }
        });
        match (step, polled) {
            (Ok(()), polled) => polled.map(Ok),
            // It answered, and panicked when it was dropped: the answer counts.
            (Err(_), Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            (Err(words), Poll::Pending) => {
                this.drop_inner();
                Poll::Ready(Err(words))
            }
        }
    }
}

impl<R> Drop for GatedFuture<'_, R> {
    fn drop(&mut self) {
        self.drop_inner();
    }
}
