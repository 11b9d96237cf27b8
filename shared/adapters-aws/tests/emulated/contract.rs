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

mod access_store {
    use std::sync::Arc;

    use aws_emulators::Stack;
    use domain::ports::AccessStore;

    async fn an_empty_store() -> (Arc<dyn AccessStore>, Stack) {
        let stack = Stack::create().await;
        (crate::aws(&stack).access(), stack)
    }

    test_support::access_store_contract!(an_empty_store);
}

mod monitoring_store {
    use aws_emulators::Stack;
    use test_support::monitoring_store::MonitoringSubject;

    async fn an_empty_store() -> (MonitoringSubject, Stack) {
        let stack = Stack::create().await;
        let aws = crate::aws(&stack);
        let subject = MonitoringSubject {
            batches: aws.store(),
            monitoring: aws.monitoring(),
        };
        (subject, stack)
    }

    test_support::monitoring_store_contract!(an_empty_store);
}

mod key_store {
    use std::sync::Arc;

    use aws_emulators::Stack;
    use domain::ports::KeyStore;

    async fn an_empty_store() -> (Arc<dyn KeyStore>, Stack) {
        let stack = Stack::create().await;
        (crate::aws(&stack).keys(), stack)
    }

    test_support::key_store_contract!(an_empty_store);
}

mod cache_store {
    use std::sync::Arc;

    use aws_emulators::Stack;
    use domain::ports::CacheStore;

    async fn an_empty_store() -> (Arc<dyn CacheStore>, Stack) {
        let stack = Stack::create().await;
        (crate::aws(&stack).cache(), stack)
    }

    test_support::cache_store_contract!(an_empty_store);
}
