//! The wrapper of a seam, without a second image: who is asked, what a panic becomes, what is wrapped on its way.

use super::*;
use crate::scheduler::{Moment, Permit, Permits, Scheduler, TaskFailure, TaskHandle};
use crate::transport::{
    Caller, CallerMint, Handler, MessageStream, Route, Router, Status, StatusCode, StreamHandler,
};
use async_trait::async_trait;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Contains panics and writes down what it is asked.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    decisions: Mutex<Vec<Decision>>,
}

impl Diary {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn next(self: &Arc<Self>, decision: Decision) -> Arc<Self> {
        self.decisions.lock().unwrap().insert(0, decision);
        Arc::clone(self)
    }
}

impl Gate for Diary {
    fn plugin_id(&self) -> &str {
        "guest"
    }

    fn before(&self, call: &Call<'_>) -> Decision {
        self.note(format!("{}.{}({})", call.method.seam, call.method.name, call.arguments));
        self.decisions.lock().unwrap().pop().unwrap_or(Decision::Pass)
    }

    fn step(&self, _: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        self.note("step".to_owned());
        contained(work)
    }

    fn finished(&self, _: &'static Method, finish: Finish) {
        self.note(format!("{finish:?}"));
    }

    fn outcome(&self, token: u64, method: &'static Method, answer: Option<String>) {
        self.note(format!("{token} {} {answer:?}", method.name));
    }
}

/// What the object behind the border does.
#[derive(Clone, Copy)]
enum Doing {
    Answer,
    Refuse,
    PanicAtEntry,
    PanicAtPoll,
    PanicAtDrop,
    Hang,
}

struct Guest(Doing);

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl crate::plugin::Close for Guest {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        match self.0 {
            Doing::Answer => Box::pin(async { Ok(()) }),
            Doing::Refuse => Box::pin(async { Err("no".to_owned()) }),
            Doing::PanicAtEntry => panic!("entered"),
            Doing::PanicAtPoll => Box::pin(async { panic!("polled") }),
            Doing::PanicAtDrop => {
                let bomb = PanicsWhenDropped;
                Box::pin(async move {
                    let _bomb = bomb;
                    std::future::pending().await
                })
            }
            Doing::Hang => Box::pin(std::future::pending()),
        }
    }
}

fn poll_once<R>(future: &mut BoxFuture<'_, R>) -> Poll<R> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn behind<T: Cross>(gate: &Arc<Diary>, object: T) -> T {
    object.cross(&Border::giving(gate.clone() as Arc<dyn Gate>))
}

fn guest(gate: &Arc<Diary>, doing: Doing) -> Arc<dyn crate::plugin::Close> {
    behind(gate, Arc::new(Guest(doing)) as Arc<dyn crate::plugin::Close>)
}

#[test]
fn a_panic_anywhere_becomes_an_error_and_every_call_ends_once() {
    let said = |words: &str| Poll::Ready(Err(format!("plugin guest panicked: {words}")));
    let table = [
        (Doing::Answer, Poll::Ready(Ok(())), "Answered"),
        (Doing::Refuse, Poll::Ready(Err("no".to_owned())), "Failed"),
        (Doing::PanicAtEntry, said("entered"), "Panicked"),
        (Doing::PanicAtPoll, said("polled"), "Panicked"),
        (Doing::PanicAtDrop, Poll::Pending, "Dropped"),
        (Doing::Hang, Poll::Pending, "Dropped"),
    ];
    for (doing, expected, finish) in table {
        let gate = Arc::new(Diary::default());
        let object = guest(&gate, doing);
        let mut call = object.close();
        assert_eq!(poll_once(&mut call), expected, "{finish}");
        drop(call);
        let lines = gate.taken();
        assert_eq!(lines.first().unwrap(), "close.close()");
        assert_eq!(lines.iter().filter(|line| *line != "step").count(), 2, "{lines:?}");
        assert!(lines.contains(&finish.to_owned()), "{lines:?}");
        drop(object);
        assert_eq!(gate.taken(), ["step"], "the object is dropped through the gate");
    }
}

#[test]
fn a_gate_can_refuse_answer_delay_and_watch() {
    let gate = Arc::new(Diary::default());
    let object = guest(&gate, Doing::Answer);
    let refused = Unavailable {
        plugin_id: "guest".to_owned(),
        reason: UnavailableReason::Quarantined("3 panics".to_owned()),
    };
    let ask = |decision| {
        gate.next(decision);
        poll_once(&mut object.close())
    };
    assert_eq!(
        ask(Decision::Refuse(refused)),
        Poll::Ready(Err("plugin guest is quarantined: 3 panics".to_owned()))
    );
    assert_eq!(
        ask(Decision::Answer(r#"{"Err":"on tape"}"#.to_owned())),
        Poll::Ready(Err("on tape".to_owned()))
    );
    let Poll::Ready(Err(words)) = ask(Decision::Answer("{".to_owned())) else { panic!("an error") };
    assert!(words.contains("no answer of close.close can be made"), "{words}");
    assert_eq!(ask(Decision::Wait(Box::pin(std::future::pending()))), Poll::Pending);
    assert_eq!(ask(Decision::Wait(Box::pin(async { Decision::Pass }))), Poll::Ready(Ok(())));
    gate.taken();
    assert_eq!(ask(Decision::Watch(7)), Poll::Ready(Ok(())));
    assert!(gate.taken().contains(&r#"7 close Some("{\"Ok\":null}")"#.to_owned()));
}

struct Letters(u8);

#[async_trait]
impl MessageStream for Letters {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.0 += 1;
        match self.0 {
            1 => Some(Ok(vec![1])),
            2 => panic!("ink"),
            _ => None,
        }
    }
}

struct Writes;

#[async_trait]
impl StreamHandler for Writes {
    async fn call(&self, _: Caller, _: Vec<u8>) -> Result<Box<dyn MessageStream>, Status> {
        Ok(Box::new(Letters(0)))
    }
}

#[test]
fn a_stream_from_a_handler_from_a_router_is_behind_the_border_too() {
    let gate = Arc::new(Diary::default());
    let mut router = Router::default();
    router.add(Route::server_stream("/letters", Arc::new(Writes))).unwrap();
    let router = behind(&gate, router);
    let Some(Handler::ServerStream(handler)) = router.find("/letters") else { panic!("a stream handler") };
    let caller = CallerMint::for_host().proved("a1");
    let Poll::Ready(Ok(mut stream)) = poll_once(&mut handler.call(caller, vec![7])) else {
        panic!("a stream")
    };
    assert_eq!(poll_once(&mut stream.next()), Poll::Ready(Some(Ok(vec![1]))));
    let Poll::Ready(Some(Err(status))) = poll_once(&mut stream.next()) else { panic!("a failure") };
    assert_eq!(status.code, StatusCode::Unavailable);
    assert!(!status.message.contains("ink"), "peers are not told what a panic said");
    assert_eq!(poll_once(&mut stream.next()), Poll::Ready(None));
    let calls = gate.taken().into_iter().filter(|line| line.contains('.')).collect::<Vec<_>>();
    let next = "message-stream.next()";
    let handled = r#"stream-handler.call(caller: Caller { account: "a1" }, request: [7])"#;
    assert_eq!(calls, [handled, next, next, next]);
}

/// Runs what it is given at once, as far as it comes.
struct AtOnce;

struct Ended;

impl TaskHandle for Ended {
    fn abort(&self) {}

    fn join(&self) -> BoxFuture<'static, Result<(), TaskFailure>> {
        Box::pin(async { Ok(()) })
    }
}

impl Permits for Ended {
    fn acquire(&self) -> BoxFuture<'static, Permit> {
        Box::pin(async { Permit::new(|| panic!("given back")) })
    }

    fn try_acquire(&self) -> Option<Permit> {
        panic!("counting")
    }
}

impl Scheduler for AtOnce {
    fn now(&self) -> Moment {
        panic!("no clock")
    }

    fn wall_clock_ms(&self) -> i64 {
        7
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async { panic!("no bed") })
    }

    fn spawn(&self, _: &str, mut task: BoxFuture<'static, ()>) -> Arc<dyn TaskHandle> {
        let _ = poll_once(&mut task);
        Arc::new(Ended)
    }

    fn run_blocking(
        &self,
        _: &str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, Result<(), TaskFailure>> {
        work();
        Box::pin(async { Ok(()) })
    }

    fn fill_random(&self, _: &mut [u8]) {}

    fn permits(&self, _: usize) -> Arc<dyn Permits> {
        Arc::new(Ended)
    }

    fn parallelism(&self) -> usize {
        panic!("no cores")
    }
}

#[test]
fn a_scheduler_that_breaks_stands_still() {
    let gate = Arc::new(Diary::default());
    let scheduler = behind(&gate, Arc::new(AtOnce) as Arc<dyn Scheduler>);
    assert_eq!(
        (scheduler.now(), scheduler.wall_clock_ms(), scheduler.parallelism()),
        (Moment::default(), 7, 1)
    );
    assert_eq!(poll_once(&mut scheduler.sleep(Duration::ZERO)), Poll::Pending);
    let permits = scheduler.permits(1);
    assert!(permits.try_acquire().is_none());
    let Poll::Ready(permit) = poll_once(&mut permits.acquire()) else { panic!("a permit") };
    gate.taken();
    drop(permit);
    assert_eq!(gate.taken(), ["permit.release()", "step", "Panicked"]);
}

#[test]
fn work_that_panics_is_contained_by_its_maker_and_told_to_who_waits_for_it() {
    let gate = Arc::new(Diary::default());
    let given = Border::given(gate.clone() as Arc<dyn Gate>);
    let scheduler = (Arc::new(AtOnce) as Arc<dyn Scheduler>).cross(&given);
    let task = scheduler.spawn("fragile", Box::pin(async { panic!("glass") }));
    let panicked = |words: &str| Poll::Ready(Err(TaskFailure::Panicked(words.to_owned())));
    assert_eq!(poll_once(&mut task.join()), panicked("glass"));
    let mut work = scheduler.run_blocking("hash", Box::new(|| panic!("disk")));
    assert_eq!(poll_once(&mut work), panicked("disk"));
    let lines = gate.taken();
    assert_eq!(lines.iter().filter(|line| *line == "Panicked").count(), 2, "{lines:?}");
    assert_eq!(scheduler.wall_clock_ms(), 7);
    assert!(gate.taken().is_empty(), "what a side was given is called directly");
}

#[test]
fn a_message_that_may_have_got_through_is_not_called_refused() {
    use crate::chain::ChainError;
    let panicked = ChainError::unavailable(&Unavailable::panicked("guest", "late".to_owned()));
    assert!(panicked.is_transient() && !panicked.is_certainly_not_applied(), "{panicked}");
}
