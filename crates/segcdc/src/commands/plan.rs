//! `segcdc plan`

use segcdc_engine_native::{EngineConfig, Preflight, copy_estimate, effects, names, post_load, preflight};

use crate::arguments::{Engine, Output, PlanArguments, SetupArguments};
use crate::commands::{self, connect};
use crate::console::Console;
use crate::effects_view;
use crate::error::CliError;
use crate::exit::Exit;
use crate::findings;
use crate::plan_view::PlanView;
use crate::post_load_view;
use crate::worker;

/// Shows what would be done; changes nothing.
///
/// # Errors
/// When a server cannot be asked.
pub(crate) async fn run(arguments: PlanArguments, console: Console) -> Result<Exit, CliError> {
    let (arguments, wants_script) = (arguments.setup, arguments.post_load);
    let (_, config) = commands::setup(&arguments, console)?;
    if wants_script {
        return print_script(&arguments, config, console).await;
    }
    if arguments.engine.engine == Engine::KafkaConnect {
        let (config, rest) = worker::setup(&arguments.engine, config)?;
        return connect::plan(&config, &rest, console).await;
    }
    let checked = preflight(&config).await?;
    let view = view(&config, &checked).with_copy(copy_estimate(&config, &checked).await?);
    // What is compared with another server's tables would only mislead.
    let is_other_source = checked.findings.iter().any(|finding| finding.check == "engine.source");
    let view = match checked.existing.as_ref().filter(|_| !is_other_source) {
        Some(state) => view.with_effects(effects(&config, state).await?),
        None => view,
    };
    match console.output {
        Output::Json => console.json(&view),
        Output::Name => console.data(&view.names()),
        Output::Table | Output::Wide => {
            console.talk(&findings::render(&checked.findings, console.detail, console.paint));
            console.data(&view.summary(console.data_paint));
            if let Some(copy) = view.copy() {
                console.data(&format!("\n{copy}"));
            }
            let file = arguments.pipeline.file.as_ref().map(|file| file.display().to_string());
            let effects = effects_view::lines(view.effects(), file.as_deref(), console.data_paint);
            if !effects.is_empty() {
                console.data(&format!("\n{effects}"));
            }
            if console.output == Output::Wide {
                console.data(&format!("\n{}", view.columns()));
            }
            console.data(&format!("\n{}", view.statements(console.data_paint)));
        }
    }
    Ok(if findings::has_failure(&checked.findings) { Exit::Usage } else { Exit::Ok })
}

/// Prints what the target needs besides rows and keys once it takes the source's place.
async fn print_script(
    arguments: &SetupArguments,
    config: EngineConfig,
    console: Console,
) -> Result<Exit, CliError> {
    let config = match arguments.engine.engine {
        Engine::KafkaConnect => worker::setup(&arguments.engine, config)?.0.engine,
        Engine::Native => config,
    };
    let checked = preflight(&config).await?;
    let made = post_load(&config, &checked).await?;
    console.talk(&findings::render(&checked.findings, console.detail, console.paint));
    match console.output {
        Output::Json => console.json(&made),
        Output::Table | Output::Wide | Output::Name => console.data(&post_load_view::script(&made)),
    }
    Ok(Exit::Ok)
}

/// The plan with the names that slot and publication have or would have.
pub(crate) fn view(config: &EngineConfig, checked: &Preflight) -> PlanView {
    let lineage = checked.existing.as_ref().map(|state| &state.checkpoint.lineage);
    let slot = lineage.map(|lineage| lineage.slot.clone()).or_else(|| config.slot.clone());
    let publication =
        lineage.map(|lineage| lineage.publication.clone()).or_else(|| config.publication.clone());
    PlanView::new(
        &config.name,
        slot.unwrap_or_else(|| names::slot(&config.name, 1)),
        publication.unwrap_or_else(|| names::publication(&config.name)),
        (checked, config.readers),
    )
}
