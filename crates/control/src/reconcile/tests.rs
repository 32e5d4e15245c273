//! The reconciler over a real store and engines that do what their pipeline's name says.

use super::*;
use crate::access::Role;
use crate::connection::Draft;
use crate::engine::{
    CopyBy, DeadLetterQuery, Ended, Endpoint, Engines, Job, Plan, Seen, TableQuery, TableRequest, TableVerb,
    VerifyRequest, Work,
};
use crate::lifecycle::Command;
use crate::pipeline_spec::PipelineSpec;
use crate::report::Trouble;
use crate::seal::Keyring;
use crate::service::{Actor, Founding, PageOf, PipelineRequest, PipelineView, TablesWanted};
use crate::store::{ConnectionKind, EngineName, FolderLock, Location, OperationKind, OperationState, Store};
use segcdc_model::Secret;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Engines that run until they are told to stop, unless the pipeline's name begins with something else.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    /// Runs that have begun.
    begun: AtomicUsize,
    /// Removals that were asked for.
    removals: AtomicUsize,
    /// Runs that are under way.
    up: Arc<AtomicUsize>,
    /// The most at once.
    most_up: AtomicUsize,
    /// The settings of the run that began last.
    last: std::sync::Mutex<Option<PipelineSpec>>,
}

/// A run that is under way.
struct Up(Arc<AtomicUsize>);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn error(code: &str) -> ErrorReport {
    ErrorReport {
        code: code.to_owned(),
        message: "as the script says".to_owned(),
        causes: Box::default(),
        hint: "change the script".to_owned(),
        fix_sql: Vec::new(),
        trouble: Trouble::Failed,
        may_pass: false,
    }
}

impl Engines for Scripted {
    fn test<'a>(&'a self, endpoint: &'a Endpoint) -> Work<'a, Value> {
        let password = endpoint.password.as_ref().map(|password| password.expose().len());
        Box::pin(async move { Ok(json!({"server": "scripted", "password_bytes": password})) })
    }

    fn tables<'a>(&'a self, _endpoint: &'a Endpoint, _query: &'a TableQuery) -> Work<'a, Value> {
        Box::pin(async { Ok(json!({"items": [], "total": 0})) })
    }

    fn plan<'a>(&'a self, job: &'a Job) -> Work<'a, Plan> {
        let document = json!({"tables": job.spec.tables, "sql": {}});
        Box::pin(async { Ok(Plan { document, failures: Vec::new() }) })
    }

    fn run(&self, job: Job, watch: Arc<Watch>, stop: CancellationToken) -> Work<'static, Ended> {
        let before = self.begun.fetch_add(1, Ordering::SeqCst);
        *self.last.lock().unwrap() = Some(job.spec.clone());
        let up = Up(Arc::clone(&self.up));
        self.most_up.fetch_max(up.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Box::pin(async move {
            let _up = up;
            match job.name.split('_').next().unwrap_or_default() {
                "panics" => panic!("as the script says"),
                "fails" => return Err(error("SCRIPTED")),
                "done" => return Ok(Ended::Done),
                "deaf" => std::future::pending::<()>().await,
                _ => {}
            }
            let quarantined = usize::from(job.name.starts_with("degraded"));
            watch.show(Seen { progress: json!({"run": before}), is_up: true, quarantined });
            stop.cancelled().await;
            Ok(Ended::Stopped)
        })
    }

    fn status<'a>(&'a self, job: &'a Job) -> Work<'a, Value> {
        let table = |schema: &str, name: &str, phase: &str| json!({"source": {"schema": schema, "name": name}, "phase": phase});
        Box::pin(async move {
            if job.name != "tables" {
                return Err(error("SCRIPTED"));
            }
            let tables = [
                table("public", "b", "STREAMING"),
                table("my.schema", "x*", "QUARANTINED"),
                table("public", "a", "STREAMING"),
            ];
            Ok(json!({"tables": tables}))
        })
    }

    fn dead_letters<'a>(&'a self, _job: &'a Job, query: &'a DeadLetterQuery) -> Work<'a, Value> {
        Box::pin(async {
            let letter = json!({"number": query.after + 1, "personal_data": {"key": ["7"]}});
            Ok(json!({"open": 1, "closed": 0, "letters": [letter], "more": false}))
        })
    }

    fn dead_letter<'a>(&'a self, _job: &'a Job, number: i64) -> Work<'a, Value> {
        Box::pin(async move { Ok(json!({"number": number, "personal_data": {"key": ["7"]}})) })
    }

    fn verify<'a>(
        &'a self,
        job: &'a Job,
        _request: &'a VerifyRequest,
        on_progress: &'a (dyn Fn(Value) + Send + Sync),
    ) -> Work<'a, Value> {
        Box::pin(async move {
            on_progress(json!({"done": 1}));
            match job.name.as_str() {
                "panics" => panic!("as the script says"),
                "slow" => std::future::pending().await,
                _ => {
                    let differs = |table: &str, keys: &[&str]| {
                        let list: Vec<_> =
                            keys.iter().map(|key| json!({"key": key, "kind": "different"})).collect();
                        json!({"source": {"schema": "public", "name": table}, "differences": list})
                    };
                    Ok(
                        json!({"is_equal": false, "tables": [differs("a", &["1", "2"]), differs("b", &["3"])]}),
                    )
                }
            }
        })
    }

    fn resync<'a>(&'a self, _job: &'a Job, _tables: &'a [String]) -> Work<'a, Value> {
        Box::pin(async { Ok(json!({})) })
    }

    fn ask<'a>(&'a self, _job: &'a Job, request: &'a TableRequest) -> Work<'a, Value> {
        Box::pin(async { Ok(json!({"tables": request.tables})) })
    }

    fn remove<'a>(&'a self, job: &'a Job) -> Work<'a, Value> {
        let count = self.removals.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if job.name == "stuck" && count == 0 {
                Err(error("SLOT_IN_USE"))
            } else {
                Ok(json!({"done": true}))
            }
        })
    }
}

/// A control plane with a reconciler that is stepped by hand.
struct Bench {
    control: Arc<Control>,
    engines: Arc<Scripted>,
    reconciler: Reconciler,
    admin: Actor,
    source: crate::id::ConnectionId,
    target: crate::id::ConnectionId,
    _folder: tempfile::TempDir,
    _lock: Option<FolderLock>,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, lock) = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
        let keys = Keyring::parse(&Keyring::generate_line("k1").unwrap()).unwrap();
        let engines = Arc::new(Scripted::default());
        let (control, token) = Control::open(store, keys, Arc::clone(&engines) as _).await.unwrap();
        let founding = Founding {
            token: token.unwrap(),
            tenant: "acme".parse().unwrap(),
            user: "ada".parse().unwrap(),
            password: Secret::new("a sentence that nobody knows".to_owned()),
        };
        let admin = control.found(founding, "192.0.2.1").await.unwrap().actor;
        let mut ids = Vec::new();
        for (name, kind) in [("source", ConnectionKind::Postgres), ("target", ConnectionKind::SqlServer)] {
            let draft = Draft {
                host: Some("db".to_owned()),
                database: Some("shop".to_owned()),
                user: Some("app".to_owned()),
                ..Draft::default()
            };
            let password = Some(Secret::new("sekret".to_owned()));
            let made = control.create_connection(&admin, name.parse().unwrap(), kind, &draft, password);
            ids.push(made.await.unwrap().id);
        }
        let control = Arc::new(control);
        let reconciler = Reconciler::new(Arc::clone(&control));
        let (source, target) = (ids[0], ids[1]);
        Bench { control, engines, reconciler, admin, source, target, _folder: folder, _lock: lock }
    }

    async fn make(&self, name: &str) -> PipelineId {
        let request = PipelineRequest {
            name: name.to_owned(),
            engine: EngineName::Native,
            source: self.source,
            target: self.target,
            spec: PipelineSpec::default(),
            plan_hash: None,
            start: true,
        };
        self.control.create_pipeline(&self.admin, request).await.unwrap().stored.id
    }

    async fn see(&self, id: PipelineId) -> PipelineView {
        self.control.pipeline(&self.admin, id).await.unwrap()
    }

    /// A round; of a process that has died, its end and the first round of the next one.
    async fn round(&mut self) {
        self.reconciler.round().await.unwrap();
        if self.reconciler.lives == Some(0) {
            for task in self.reconciler.tasks.values_mut() {
                task.die().await;
            }
            for id in self.reconciler.tasks.keys() {
                self.control.watch(id.1, None);
            }
            self.reconciler = Reconciler::new(Arc::clone(&self.control));
            self.reconciler.round().await.unwrap();
        }
    }

    /// Rounds until a pipeline stands where it should.
    async fn until(&mut self, id: PipelineId, state: State) {
        for _ in 0..200 {
            self.round().await;
            if self.see(id).await.stored.state == state {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it is {:?}, not {state:?}", self.see(id).await.stored.state);
    }

    /// Rounds until a pipeline runs with the settings that are stored.
    async fn until_observed(&mut self, id: PipelineId) {
        for _ in 0..200 {
            self.round().await;
            let seen = self.see(id).await;
            if seen.stored.state == State::Running && seen.observed_version == Some(seen.stored.version) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{:?}", self.see(id).await);
    }

    async fn ask(&self, id: PipelineId, command: Command) {
        self.control.command(&self.admin, id, command).await.unwrap();
    }
}

#[tokio::test]
async fn a_pipeline_does_what_is_asked_of_it() {
    let mut bench = Bench::start().await;
    let id = bench.make("orders").await;
    bench.until(id, State::Running).await;
    assert_eq!(bench.see(id).await.progress, Some(json!({"run": 0})));
    bench.ask(id, Command::Pause).await;
    bench.until(id, State::Paused).await;
    bench.ask(id, Command::Resume).await;
    bench.until(id, State::Running).await;
    bench.ask(id, Command::Restart).await;
    bench.until(id, State::Running).await;
    bench.ask(id, Command::Stop).await;
    bench.until(id, State::Stopped).await;
    assert_eq!(bench.engines.begun.load(Ordering::SeqCst), 3, "one run each time");
}

#[tokio::test]
async fn one_that_breaks_down_takes_nobody_with_it() {
    let mut bench = Bench::start().await;
    let good = bench.make("good").await;
    let (panics, fails) = (bench.make("panics").await, bench.make("fails").await);
    bench.until(good, State::Running).await;
    bench.until(panics, State::Failed).await;
    bench.until(fails, State::Failed).await;
    assert_eq!(bench.see(panics).await.error.unwrap().code, "TASK_BROKEN");
    assert_eq!(bench.see(fails).await.error.unwrap().code, "SCRIPTED");
    assert_eq!(bench.see(good).await.stored.state, State::Running);
    bench.ask(fails, Command::Start).await;
    assert_eq!(bench.see(fails).await.error, None, "a new attempt begins without the old error");
    bench.until(fails, State::Failed).await;
}

#[tokio::test]
async fn what_is_desired_outlives_the_process() {
    let mut bench = Bench::start().await;
    let (id, resting) = (bench.make("orders").await, bench.make("resting").await);
    bench.until(id, State::Running).await;
    bench.until(resting, State::Running).await;
    bench.ask(resting, Command::Pause).await;
    // The process dies: its tasks are gone, its states stay.
    bench.reconciler = Reconciler::new(Arc::clone(&bench.control));
    assert_eq!(bench.see(resting).await.stored.state, State::Pausing);
    bench.until(resting, State::Paused).await;
    bench.until(id, State::Running).await;
    assert_eq!(bench.engines.begun.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_copy_without_following_ends_stopped() {
    let mut bench = Bench::start().await;
    let id = bench.make("done").await;
    bench.until(id, State::Stopped).await;
    assert_eq!(bench.see(id).await.stored.desired, Desired::Stopped);
    for _ in 0..5 {
        bench.reconciler.round().await.unwrap();
    }
    assert_eq!(bench.engines.begun.load(Ordering::SeqCst), 1, "it is not begun again");
}

#[tokio::test]
async fn quarantined_tables_degrade_a_pipeline() {
    let mut bench = Bench::start().await;
    let id = bench.make("degraded").await;
    bench.until(id, State::Degraded).await;
}

#[tokio::test]
async fn a_deleted_pipeline_is_gone_when_nothing_of_it_is_left() {
    let mut bench = Bench::start().await;
    let id = bench.make("orders").await;
    bench.until(id, State::Running).await;
    let refused = bench.control.delete_pipeline(&bench.admin, id).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&refused), "INVALID_STATE", "not by one wrong word");
    bench.ask(id, Command::Stop).await;
    bench.until(id, State::Stopped).await;
    let operation = bench.control.delete_pipeline(&bench.admin, id).await.unwrap();
    assert_eq!(bench.control.delete_pipeline(&bench.admin, id).await.unwrap(), operation, "asked twice");
    for _ in 0..50 {
        bench.reconciler.round().await.unwrap();
        tokio::task::yield_now().await;
    }
    let done = bench.control.operation(&bench.admin, operation).await.unwrap();
    assert_eq!((done.state, done.result.as_deref()), (OperationState::Succeeded, Some("{\"done\":true}")));
    assert!(bench.control.pipeline(&bench.admin, id).await.is_err());
    bench.control.delete_connection(&bench.admin, bench.source, None).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_removed_stays_and_can_be_forgotten() {
    let mut bench = Bench::start().await;
    let id = bench.make("stuck").await;
    bench.ask(id, Command::Stop).await;
    bench.until(id, State::Stopped).await;
    bench.control.delete_pipeline(&bench.admin, id).await.unwrap();
    for _ in 0..50 {
        bench.reconciler.round().await.unwrap();
        tokio::task::yield_now().await;
    }
    let seen = bench.see(id).await;
    assert_eq!((seen.stored.state, seen.error.unwrap().code.as_str()), (State::Deleting, "SLOT_IN_USE"));
    assert_eq!(bench.engines.removals.load(Ordering::SeqCst), 1, "it rests before the next attempt");
    bench.control.forget_pipeline(&bench.admin, id).await.unwrap();
    assert!(bench.control.pipeline(&bench.admin, id).await.is_err());
}

#[tokio::test]
async fn a_server_that_ends_waits_for_its_engines_and_no_longer() {
    let mut bench = Bench::start().await;
    let (good, deaf) = (bench.make("good").await, bench.make("deaf").await);
    bench.until(good, State::Running).await;
    bench.until(deaf, State::Starting).await;
    let patience = Duration::from_millis(100);
    let ending = Reconciler { patience, ..Reconciler::new(Arc::clone(&bench.control)) };
    let ending = Reconciler { tasks: std::mem::take(&mut bench.reconciler.tasks), ..ending };
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let begun = Instant::now();
    ending.run(shutdown).await;
    assert!(begun.elapsed() >= patience, "the one that does not hear was waited for");
    assert!(begun.elapsed() < END, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn operations_end_whatever_becomes_of_them() {
    let bench = Bench::start().await;
    let request = || VerifyRequest { tables: Vec::new(), limit: 10, by_count: false };
    let mut ids = Vec::new();
    for name in ["good", "panics", "slow"] {
        let pipeline = bench.make(name).await;
        let begun = bench.control.verify_pipeline(&bench.admin, pipeline, request()).await.unwrap();
        // The others may be over before they are looked at.
        assert!(begun.state == OperationState::Running || name != "slow", "{name}: {:?}", begun.state);
        ids.push(begun.id);
    }
    bench.control.cancel_operation(&bench.admin, ids[2]).await.unwrap();
    let expected = [OperationState::Succeeded, OperationState::Failed, OperationState::Cancelled];
    for (id, expected) in ids.iter().zip(expected) {
        let mut found = bench.control.operation(&bench.admin, *id).await.unwrap();
        while found.state == OperationState::Running {
            tokio::task::yield_now().await;
            found = bench.control.operation(&bench.admin, *id).await.unwrap();
        }
        assert_eq!(found.state, expected);
    }
    let over = bench.control.cancel_operation(&bench.admin, ids[0]).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&over), "OPERATION_OVER");
    let page = PageOf { after: None, limit: 2 };
    let part = bench.control.operations(&bench.admin, None, page).await.unwrap();
    assert_eq!((part.items[0].id, part.next.is_some()), (ids[2], true), "newest first");
    // Who may not see rows does not see what came of a comparison, which names them.
    let viewer = Actor { role: Role::Viewer, ..bench.admin.clone() };
    assert_eq!(bench.control.operation(&viewer, ids[0]).await.unwrap().result, None);
    assert!(bench.control.operation(&bench.admin, ids[0]).await.unwrap().result.is_some());
}

#[tokio::test]
async fn whoever_operates_asks_tables_and_whoever_edits_changes_which_there_are() {
    let bench = Bench::start().await;
    let pipeline = bench.make("good").await;
    let asked = async |role, verb| {
        let actor = Actor { role, ..bench.admin.clone() };
        let request = TableRequest { verb, tables: vec!["public.t".to_owned()] };
        let asked = bench.control.ask_tables(&actor, pipeline, request).await;
        asked.map(|operation| operation.kind).map_err(|error| segcdc_model::Fault::code(&error))
    };
    let done = Ok(OperationKind::Tables);
    for verb in [TableVerb::Pause, TableVerb::Resume, TableVerb::Resync(Some(CopyBy::Merge))] {
        assert_eq!(asked(Role::Operator, verb).await, done, "{verb:?}");
        assert_eq!(asked(Role::Auditor, verb).await, Err("FORBIDDEN"), "{verb:?}");
    }
    for verb in [TableVerb::Add, TableVerb::Remove { drop_target: true }] {
        assert_eq!(asked(Role::Editor, verb).await, done, "{verb:?}");
        assert_eq!(asked(Role::Operator, verb).await, Err("FORBIDDEN"), "{verb:?}");
    }
}

#[tokio::test]
async fn operations_of_a_server_that_ended_have_failed() {
    let bench = Bench::start().await;
    let pipeline = bench.make("slow").await;
    let request = VerifyRequest { tables: Vec::new(), limit: 10, by_count: false };
    let begun = bench.control.verify_pipeline(&bench.admin, pipeline, request).await.unwrap();
    // What the next server does with the store before anything else.
    let restarted = ErrorReport::of(&ControlError::Restarted, Trouble::Failed).to_json();
    bench.control.store().fail_operations(&restarted).await.unwrap();
    let found = bench.control.operation(&bench.admin, begun.id).await.unwrap();
    assert_eq!(found.state, OperationState::Failed);
    let error: Value = serde_json::from_str(&found.error.unwrap()).unwrap();
    assert_eq!(error["code"], "SERVER_RESTARTED");
}

#[test]
fn what_an_engine_reports_is_passed_on() {
    let failed = ControlError::from(error("SLOT_LOST"));
    assert_eq!(segcdc_model::Fault::code(&failed), "ENGINE_FAILED");
    assert_eq!(segcdc_model::Fault::hint(&failed), "change the script");
}

#[tokio::test]
async fn a_plan_is_what_was_agreed_to_or_is_refused() {
    let bench = Bench::start().await;
    let request = |tables: &[&str], plan_hash: Option<String>| PipelineRequest {
        name: "orders".to_owned(),
        engine: EngineName::Native,
        source: bench.source,
        target: bench.target,
        spec: PipelineSpec {
            tables: tables.iter().map(|one| (*one).to_owned()).collect(),
            ..PipelineSpec::default()
        },
        plan_hash,
        start: false,
    };
    let plan = bench.control.plan(&bench.admin, &request(&["a"], None)).await.unwrap();
    let hash = Some(plan["hash"].as_str().unwrap().to_owned());
    let other = bench.control.create_pipeline(&bench.admin, request(&["b"], hash.clone())).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&other), "PLAN_STALE");
    bench.control.create_pipeline(&bench.admin, request(&["a"], hash)).await.unwrap();
    let swapped = PipelineRequest {
        source: bench.target,
        target: bench.source,
        name: "x".to_owned(),
        ..request(&[], None)
    };
    let wrong = bench.control.create_pipeline(&bench.admin, swapped).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&wrong), "FIELDS_INVALID");
}

#[tokio::test]
async fn a_running_pipeline_begins_anew_with_what_was_changed() {
    let mut bench = Bench::start().await;
    let id = bench.make("orders").await;
    bench.until(id, State::Running).await;
    let before = bench.see(id).await;
    assert_eq!(before.observed_version, Some(before.stored.version));
    let change = |readers| move |spec: PipelineSpec| PipelineSpec { readers: Some(readers), ..spec };
    let version = before.stored.version;
    let stale =
        bench.control.change_pipeline(&bench.admin, id, change(8), Some(version - 1)).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&stale), "VERSION_CONFLICT");
    // Two at once, of one version: one of them counts.
    let (one, other) = tokio::join!(
        bench.control.change_pipeline(&bench.admin, id, change(8), Some(version)),
        bench.control.change_pipeline(&bench.admin, id, change(9), Some(version)),
    );
    let (changed, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    let changed = changed.unwrap();
    assert_eq!(segcdc_model::Fault::code(&refused.unwrap_err()), "VERSION_CONFLICT");
    assert_eq!((changed.observed_version, changed.stored.version), (Some(version), version + 1));
    bench.until_observed(id).await;
    let ran = bench.engines.last.lock().unwrap().as_ref().and_then(|spec| spec.readers);
    assert_eq!((ran, bench.engines.begun.load(Ordering::SeqCst)), (changed.spec.readers, 2));
    assert_eq!(
        bench.engines.most_up.load(Ordering::SeqCst),
        1,
        "the first had ended before the second began"
    );

    // What changes nothing begins nothing.
    let same = bench.control.change_pipeline(&bench.admin, id, |spec| spec, None).await.unwrap();
    assert_eq!(same.observed_version, Some(same.stored.version));
    for _ in 0..5 {
        bench.round().await;
    }
    assert_eq!(bench.engines.begun.load(Ordering::SeqCst), 2);

    // One that rests has it from its next start on.
    bench.ask(id, Command::Stop).await;
    bench.until(id, State::Stopped).await;
    let resting = bench.control.change_pipeline(&bench.admin, id, change(3), None).await.unwrap();
    assert_eq!((resting.spec.readers, resting.observed_version), (Some(3), None));
    bench.control.delete_pipeline(&bench.admin, id).await.unwrap();
    let gone = bench.control.change_pipeline(&bench.admin, id, change(4), None).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&gone), "INVALID_STATE");
}

#[tokio::test]
async fn a_change_comes_about_wherever_the_process_dies() {
    for lives in 0..12 {
        let mut bench = Bench::start().await;
        let id = bench.make("orders").await;
        bench.until(id, State::Running).await;
        let change = |spec: PipelineSpec| PipelineSpec { readers: Some(7), ..spec };
        bench.control.change_pipeline(&bench.admin, id, change, None).await.unwrap();
        bench.reconciler.lives = Some(lives);
        bench.until_observed(id).await;
        let ran = bench.engines.last.lock().unwrap().as_ref().and_then(|spec| spec.readers);
        assert_eq!(ran, Some(7), "{lives}");
        assert_eq!(bench.engines.most_up.load(Ordering::SeqCst), 1, "{lives}");
    }
}

#[tokio::test]
async fn tables_are_listed_by_name_and_found_by_it() {
    let bench = Bench::start().await;
    let id = bench.make("tables").await;
    let page = |after: Option<&'static str>, limit| PageOf { after, limit };
    let list = async |wanted: TablesWanted, page| {
        let found = bench.control.pipeline_tables(&bench.admin, id, &wanted, page).await.unwrap();
        let names: Vec<_> = found.items.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (names, found.next)
    };
    let all = list(TablesWanted::default(), page(None, 2)).await;
    assert_eq!(
        all,
        (vec!["\"my.schema\".\"x*\"".to_owned(), "public.a".to_owned()], Some("public.a".to_owned()))
    );
    assert_eq!(
        list(TablesWanted::default(), page(Some("public.a"), 2)).await,
        (vec!["public.b".to_owned()], None)
    );
    let quarantined = TablesWanted { phase: Some("QUARANTINED".to_owned()), ..TablesWanted::default() };
    assert_eq!(list(quarantined, page(None, 9)).await.0.len(), 1);
    let searched = TablesWanted { search: "PUBLIC.B".to_owned(), ..TablesWanted::default() };
    assert_eq!(list(searched, page(None, 9)).await.0, ["public.b"]);
    let one = bench.control.pipeline_table(&bench.admin, id, "\"my.schema\".\"x*\"").await.unwrap();
    assert_eq!(one["phase"], "QUARANTINED");
    let none = bench.control.pipeline_table(&bench.admin, id, "public.*").await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&none), "NOT_FOUND", "a name and no pattern");
}

#[tokio::test]
async fn what_is_in_rows_is_for_those_who_may_see_it() {
    let bench = Bench::start().await;
    let id = bench.make("orders").await;
    let viewer = Actor { role: Role::Viewer, ..bench.admin.clone() };
    let query = DeadLetterQuery { after: 6, limit: 10, ..DeadLetterQuery::default() };
    for (actor, sees) in [(&bench.admin, true), (&viewer, false)] {
        let list = bench.control.dead_letters(actor, id, &query).await.unwrap();
        let one = bench.control.dead_letter(actor, id, 7).await.unwrap();
        for letter in [&list["letters"][0], &one] {
            assert_eq!((&letter["number"], letter["personal_data"].is_object()), (&json!(7), sees));
        }
    }
    let begun = bench
        .control
        .verify_pipeline(&bench.admin, id, VerifyRequest { tables: vec![], limit: 1, by_count: false })
        .await;
    let begun = begun.unwrap().id;
    let page = PageOf { after: None, limit: 9 };
    let listed = bench.control.verifications(&bench.admin, id, page).await.unwrap().items;
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [begun]);
    let refused = bench.control.mismatches(&viewer, id, begun, page).await.unwrap_err();
    assert_eq!(segcdc_model::Fault::code(&refused), "FORBIDDEN");
    while bench.control.operation(&bench.admin, begun).await.unwrap().state == OperationState::Running {
        tokio::task::yield_now().await;
    }
    let part = bench
        .control
        .mismatches(&bench.admin, id, begun, PageOf { after: Some("0"), limit: 1 })
        .await
        .unwrap();
    assert_eq!((part.items[0]["key"].as_str(), part.next.as_deref()), (Some("2"), Some("1")));
    let last = bench
        .control
        .mismatches(&bench.admin, id, begun, PageOf { after: Some("1"), limit: 1 })
        .await
        .unwrap();
    assert_eq!((&last.items[0]["table"]["name"], last.next), (&json!("b"), None));
}

/// A whole life of a pipeline, under a reconciler that dies after so many steps: how many of them were left at its end.
async fn whole_life(lives: usize) -> Option<usize> {
    let mut bench = Bench::start().await;
    bench.reconciler.lives = Some(lives);
    let id = bench.make("orders").await;
    bench.until(id, State::Running).await;
    for (command, state) in [
        (Command::Pause, State::Paused),
        (Command::Resume, State::Running),
        (Command::Restart, State::Running),
        (Command::Stop, State::Stopped),
    ] {
        bench.ask(id, command).await;
        bench.until(id, state).await;
    }
    assert_eq!(
        bench.engines.up.load(Ordering::SeqCst),
        0,
        "{lives}: an engine runs of a pipeline that is stopped"
    );
    let operation = bench.control.delete_pipeline(&bench.admin, id).await.unwrap();
    for _ in 0..200 {
        bench.round().await;
        if bench.control.pipeline(&bench.admin, id).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let ended = bench.control.operation(&bench.admin, operation).await.unwrap();
    assert_eq!(ended.state, OperationState::Succeeded, "{lives}");
    assert_eq!(bench.engines.most_up.load(Ordering::SeqCst), 1, "{lives}: two engines ran at once");
    bench.reconciler.lives
}

#[tokio::test]
async fn whatever_step_a_server_dies_at_the_next_one_goes_on() {
    let plenty = 10_000;
    let steps = plenty - whole_life(plenty).await.unwrap();
    assert!(steps > 20, "{steps}");
    for lives in 0..steps {
        whole_life(lives).await;
    }
}
