use aws_emulators::Stack;
use domain::ports::PortErrorKind;
use secrecy::ExposeSecret;

#[tokio::test]
async fn a_secret_is_read_and_does_not_show() {
    let stack = Stack::create().await;
    let text = r#"{"ann":"canary"}"#;
    let name = stack.create_secret(text).await;
    let secret = crate::aws(&stack).secrets().read(&name).await.unwrap();
    assert_eq!(secret.expose_secret(), text);
    assert!(!format!("{secret:?}").contains("canary"));
}

#[tokio::test]
async fn a_secret_that_does_not_exist_is_rejected() {
    let stack = Stack::create().await;
    let fault = crate::aws(&stack).secrets().read("none").await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
}
