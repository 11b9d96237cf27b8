//! Shows the SDK's calls to whoever wants to see them: how long, how many attempts, how they ended.

use std::sync::Arc;
use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use domain::ports::{Call, CallEnd, CallObserver};

/// What `DynamoDB` calls being asked too fast.
const THROTTLED: &[&[u8]] = &[
    b"ThrottlingException",
    b"ProvisionedThroughputExceeded",
    b"RequestLimitExceeded",
];

/// An interceptor of one client.
#[derive(Debug)]
pub(crate) struct Observing(pub(crate) Arc<dyn CallObserver>);

/// One call under way.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    started: Instant,
    attempts: u32,
}

impl Storable for UnderWay {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Observing {
    fn name(&self) -> &'static str {
        "observing"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(UnderWay {
            started: Instant::now(),
            attempts: 0,
        });
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(mut call) = cfg.load::<UnderWay>().copied() {
            call.attempts += 1;
            cfg.interceptor_state().store_put(call);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(call) = cfg.load::<UnderWay>() else {
            return Ok(());
        };
        let operation = cfg.load::<Metadata>().map_or("call", Metadata::name);
        self.0.called(Call {
            operation,
            elapsed: call.started.elapsed(),
            attempts: call.attempts.max(1),
            end: end_of(context.response()),
        });
        Ok(())
    }
}

/// A condition that was not met is an answer.
fn end_of(response: Option<&HttpResponse>) -> CallEnd {
    let Some(response) = response else {
        return CallEnd::Failed;
    };
    let status = response.status();
    if status.is_success() {
        return CallEnd::Answered;
    }
    let body = response.body().bytes().unwrap_or_default();
    let says = |code: &&[u8]| body.windows(code.len()).any(|window| window == *code);
    if THROTTLED.iter().any(says) {
        return CallEnd::Throttled;
    }
    if status.is_server_error() {
        return CallEnd::Failed;
    }
    CallEnd::Answered
}
