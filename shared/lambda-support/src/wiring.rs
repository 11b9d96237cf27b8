//! The ports over AWS: the last thing that a context is made of, because it closes the environment.

use std::sync::Arc;

use adapters_aws::{Aws, Settings};
use domain::ports::{MonitoringStore, SystemClock, UlidIds};
use pipeline::Ports;
use pipeline::recorder::Recorder;
use pipeline::scale::Scaling;

use crate::logging::chain;
use crate::scaling::ScalingSettings;
use crate::{ConfigurationError, Environment};

/// The ports that `environment` names, unless something that was read of it before cannot be used, with what watches over them: calls to the
/// table are counted. Connects to nothing.
pub fn observed(environment: Environment) -> Result<Observed, ConfigurationError> {
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, &recorder)?;
    Ok(Observed::over(&aws, recorder))
}

/// As [`observed`], with who can be told of advice to scale; nobody where advice is not acted on.
pub fn observed_and_scaled(
    mut environment: Environment,
) -> Result<(Observed, Option<Scaling>), ConfigurationError> {
    let scaling = ScalingSettings::read(&mut environment);
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, &recorder)?;
    let scaling = scaling.map(|settings| settings.over(&aws));
    Ok((Observed::over(&aws, recorder), scaling))
}

/// Ports whose use is counted.
pub struct Observed {
    /// The ports.
    pub ports: Ports,
    /// Where counts go.
    pub monitoring: Arc<dyn MonitoringStore>,
    /// The counts of this process.
    pub recorder: Arc<Recorder>,
}

impl Observed {
    /// The ports over `aws`, whose calls `recorder` counts.
    pub(crate) fn over(aws: &Aws, recorder: Arc<Recorder>) -> Self {
        Self {
            ports: ports_over(aws),
            monitoring: aws.monitoring(),
            recorder,
        }
    }

    /// Stores what was counted, for a function after which nothing else does.
    pub async fn flush(&self) {
        let flushed = self.recorder.flush(&self.ports, self.monitoring.as_ref());
        if let Err(error) = flushed.await {
            tracing::warn!(error = chain(&error), "what was counted is not stored");
        }
    }
}

/// The ports of a deployment.
pub(crate) fn ports_over(aws: &Aws) -> Ports {
    Ports {
        store: aws.store(),
        queue: aws.queue(),
        objects: aws.objects(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UlidIds),
        // The one folder that a function may write to.
        scratch: std::env::temp_dir(),
    }
}

/// The deployment that `environment` names, whose calls to the table go to `recorder`.
pub(crate) fn aws_observed(
    mut environment: Environment,
    recorder: &Arc<Recorder>,
) -> Result<Aws, ConfigurationError> {
    let settings = match Settings::from_lookup(|name| environment.optional(name)) {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.faults() {
                environment.refuse(fault);
            }
            return Err(environment.refused());
        }
    };
    match Aws::observed(settings, Arc::clone(recorder) as _) {
        Ok(aws) => environment.finish().map(|()| aws),
        Err(error) => {
            environment.refuse(chain(&error));
            Err(environment.refused())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_adapters_are_reported_with_all_others() {
        let mut environment =
            Environment::of([("AWS_REGION", "eu-central-1"), ("CHUNK_SIZE", "x")]);
        environment.or_default("CHUNK_SIZE", 1_u32);
        let error = observed(environment).err().unwrap().to_string();
        for word in [
            "CHUNK_SIZE",
            "TABLE_NAME",
            "BUCKET_NAME",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert!(error.contains(word), "{error}");
        }
    }
}
