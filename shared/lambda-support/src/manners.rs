//! How a function asks other people's servers: which it may ask, and how it names itself.

use fetching::FetchOptions;

use crate::Environment;

/// What the variables say for whatever goes out, be it for images or with notices.
pub fn outgoing(environment: &mut Environment) -> FetchOptions {
    let defaults = FetchOptions::default();
    FetchOptions {
        allow_private: environment.list("ALLOW_PRIVATE"),
        allow_ports: environment.list("ALLOW_PORTS"),
        refuse_hosts: own_hosts(environment),
        user_agent: environment
            .optional("USER_AGENT")
            .unwrap_or(defaults.user_agent),
        ..FetchOptions::default()
    }
}

/// Hosts that nobody may point us at: our bucket by each of its names, and what `REFUSE_HOSTS` adds.
fn own_hosts(environment: &mut Environment) -> Vec<String> {
    let mut hosts = environment.list("REFUSE_HOSTS");
    let bucket = environment.optional("BUCKET_NAME").unwrap_or_default();
    let region = environment.optional("AWS_REGION").unwrap_or_default();
    hosts.push(format!("{bucket}.s3.amazonaws.com"));
    hosts.push(format!("{bucket}.s3.{region}.amazonaws.com"));
    hosts.push(format!("{bucket}.s3.dualstack.{region}.amazonaws.com"));
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_hosts_are_refused_by_each_of_their_names() {
        let mut environment = Environment::of([
            ("BUCKET_NAME", "lists"),
            ("AWS_REGION", "eu-central-1"),
            ("REFUSE_HOSTS", "api.example"),
        ]);
        let refused = outgoing(&mut environment).refuse_hosts;
        environment.finish().unwrap();
        for host in [
            "api.example",
            "lists.s3.amazonaws.com",
            "lists.s3.eu-central-1.amazonaws.com",
            "lists.s3.dualstack.eu-central-1.amazonaws.com",
        ] {
            assert!(refused.iter().any(|refused| refused == host), "{host}");
        }
    }
}
