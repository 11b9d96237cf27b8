//! The ports over AWS: the last thing that a context is made of, because it closes the environment.

use std::sync::Arc;

use adapters_aws::{Aws, Settings};
use domain::ports::{SystemClock, UlidIds};
use pipeline::Ports;

use crate::{ConfigurationError, Environment};

/// The ports that `environment` names, unless something that was read of it before cannot be used. Connects to nothing.
pub fn ports(environment: Environment) -> Result<Ports, ConfigurationError> {
    Ok(ports_over(&aws(environment)?))
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
pub(crate) fn aws(mut environment: Environment) -> Result<Aws, ConfigurationError> {
    let settings = match Settings::from_lookup(|name| environment.optional(name)) {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.faults() {
                environment.refuse(fault);
            }
            return Err(environment.refused());
        }
    };
    match Aws::new(settings) {
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
