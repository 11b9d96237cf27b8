mod batch_store {
    use std::sync::Arc;

    use aws_emulators::Stack;
    use domain::ports::BatchStore;

    async fn an_empty_store() -> (Arc<dyn BatchStore>, Stack) {
        let stack = Stack::create().await;
        (crate::aws(&stack).store(), stack)
    }

    test_support::batch_store_contract!(an_empty_store);
}

mod work_queue {
    use std::sync::Arc;

    use aws_emulators::Stack;
    use domain::ports::WorkQueue;

    async fn empty_queues() -> (Arc<dyn WorkQueue>, Stack) {
        let stack = Stack::create().await;
        (crate::aws(&stack).queue(), stack)
    }

    test_support::work_queue_contract!(empty_queues);
}
