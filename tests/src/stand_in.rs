//! What a client of AWS is told whose service stands in on loop-back.

/// The variable `name` where the address of the one service that is used is `endpoint`: a variable and its value.
pub fn variable(name: &str, endpoint: (&str, &str)) -> Option<String> {
    let value = match name {
        "AWS_REGION" => "eu-central-1",
        "AWS_ACCESS_KEY_ID" => "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY" => "secret",
        "AWS_SESSION_TOKEN" => "session",
        "TABLE_NAME" | "BUCKET_NAME" => "imgsweep",
        _ if name == endpoint.0 => endpoint.1,
        _ => return None,
    };
    Some(value.to_owned())
}
