//! The ports over AWS: the last thing that a context is made of, because it closes the environment.

use std::sync::Arc;

use adapters_aws::{Aws, Settings};
use domain::ports::{MonitoringStore, SystemClock, UlidIds};
use pipeline::Ports;
use pipeline::recorder::Recorder;
use pipeline::scale::Scaling;

use crate::scaling::ScalingSettings;
use crate::{ConfigurationError, Environment};

/// The ports that `environment` names, unless something that was read of it before cannot be used. Connects to nothing.
pub fn ports(environment: Environment) -> Result<Ports, ConfigurationError> {
    Ok(ports_over(&aws(environment)?))
}

/// As [`ports`], with what watches over them: calls to the table are counted.
pub fn observed(environment: Environment) -> Result<Observed, ConfigurationError> {
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, Some(&recorder))?;
    Ok(observed_over(&aws, recorder))
}

/// As [`observed`], with who can be told of advice to scale; nobody where advice is not acted on.
pub fn observed_and_scaled(
    mut environment: Environment,
) -> Result<(Observed, Option<Scaling>), ConfigurationError> {
    let scaling = ScalingSettings::read(&mut environment);
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, Some(&recorder))?;
    let scaling = scaling.map(|settings| settings.over(&aws));
    Ok((observed_over(&aws, recorder), scaling))
}

fn observed_over(aws: &Aws, recorder: Arc<Recorder>) -> Observed {
    Observed {
        ports: ports_over(aws),
        monitoring: aws.monitoring(),
        recorder,
    }
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

/// The deployment that `environment` names.
fn aws(environment: Environment) -> Result<Aws, ConfigurationError> {
    aws_observed(environment, None)
}

/// The same, whose calls to the table go to `recorder`.
pub(crate) fn aws_observed(
    mut environment: Environment,
    recorder: Option<&Arc<Recorder>>,
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
    let aws = match recorder {
        Some(recorder) => Aws::observed(settings, Arc::clone(recorder) as _),
        None => Aws::new(settings),
    };
    match aws {
        Ok(aws) => environment.finish().map(|()| aws),
        Err(error) => {
            environment.refuse(crate::logging::chain(&error));
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
        let error = ports(environment).unwrap_err().to_string();
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
