//! Table, bucket and logs.

use std::collections::BTreeSet;

use domain::{BatchId, PartRef, keys};
use imgsweep_tests::template::{Template, target};
use serde_json::{Value, json};

#[test]
fn the_table_has_its_keys_and_indexes_and_can_be_restored() {
    let template = Template::of_the_product().unwrap();
    let [(_, table)] = template.resources("AWS::DynamoDB::Table")[..] else {
        panic!("one table holds everything");
    };
    let keys = |hash: &str, range: &str| json!([{"AttributeName": hash, "KeyType": "HASH"}, {"AttributeName": range, "KeyType": "RANGE"}]);
    assert_eq!(table["KeySchema"], keys("pk", "sk"));
    let indexes = table["GlobalSecondaryIndexes"].as_array().unwrap();
    let found: Vec<(&Value, &Value)> = indexes
        .iter()
        .map(|index| (&index["IndexName"], &index["KeySchema"]))
        .collect();
    assert_eq!(
        found,
        [
            (&json!("batches-by-status"), &keys("status", "created")),
            (&json!("batches-by-owner"), &keys("owner", "created")),
        ]
    );
    for index in indexes {
        // Counting a part must not write to an index.
        assert_eq!(index["Projection"], json!({"ProjectionType": "KEYS_ONLY"}));
    }
    assert_eq!(table["BillingMode"], "PAY_PER_REQUEST");
    let ttl = json!({"AttributeName": "expires_at", "Enabled": true});
    assert_eq!(table["TimeToLiveSpecification"], ttl);
    let recovery = &table["PointInTimeRecoverySpecification"];
    assert_eq!(recovery["PointInTimeRecoveryEnabled"], true);
    assert_eq!(table["SSESpecification"]["SSEEnabled"], true);
}

#[test]
fn table_and_bucket_outlive_the_stack() {
    let template = Template::of_the_product().unwrap();
    for name in ["Table", "Bucket"] {
        let resource = &template.root()["Resources"][name];
        assert_eq!(resource["DeletionPolicy"], "Retain", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
    }
}

#[test]
fn the_bucket_is_private_and_encrypted_and_takes_nothing_without_tls() {
    let template = Template::of_the_product().unwrap();
    let bucket = template.properties("Bucket");
    let access = bucket["PublicAccessBlockConfiguration"].as_object();
    let access = access.unwrap();
    assert_eq!(access.len(), 4);
    assert!(access.values().all(|blocked| blocked == true));
    let encryption = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
    assert!(!encryption["ServerSideEncryptionByDefault"].is_null());
    let policy = template.properties("BucketPolicy");
    let statement = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Effect"], "Deny");
    assert_eq!(
        statement["Condition"]["Bool"]["aws:SecureTransport"],
        "false"
    );
}

#[test]
fn whatever_is_stored_expires() {
    let template = Template::of_the_product().unwrap();
    let rules = &template.properties("Bucket")["LifecycleConfiguration"]["Rules"];
    let mut expiring = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        assert_eq!(rule["Status"], "Enabled");
        if let Some(prefix) = rule["Prefix"].as_str() {
            assert!(!rule["ExpirationInDays"].is_null(), "{prefix}");
            expiring.insert(prefix.to_owned());
        }
    }
    let batch: BatchId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let part = PartRef {
        batch,
        chunk: 0,
        part: 0,
    };
    let mut stored = vec![
        keys::list(batch),
        keys::upload(batch),
        keys::chunk(batch, 0),
        keys::result(part),
        keys::report(batch),
    ];
    stored.extend(keys::folders(batch));
    for key in stored {
        let prefix = &key[..=key.find('/').unwrap()];
        assert!(expiring.contains(prefix), "{prefix} stays for ever");
    }
    // Dead letters, which last 14 days, still find their chunk, and a retry as long as there are results.
    let mut rules = rules.as_array().unwrap().iter();
    let chunks = rules.find(|rule| rule["Prefix"] == "chunks/").unwrap();
    assert_eq!(
        target(&chunks["ExpirationInDays"]),
        Some("ResultRetentionDays")
    );
    let days = &template.root()["Parameters"]["ResultRetentionDays"];
    assert!(days["MinValue"].as_u64().unwrap() > 14);
    // Records last longer than what they are about.
    let records = &template.root()["Parameters"]["RecordRetentionDays"];
    assert!(records["Default"].as_u64() >= days["Default"].as_u64());
    assert_eq!(records["MinValue"], days["MinValue"]);
}

#[test]
fn the_bucket_tells_the_split_queue_of_uploads_and_may_do_so() {
    let template = Template::of_the_product().unwrap();
    let bucket = template.properties("Bucket");
    let queues = &bucket["NotificationConfiguration"]["QueueConfigurations"];
    let [notification] = &queues.as_array().unwrap()[..] else {
        panic!("one notification: {queues}");
    };
    assert_eq!(notification["Event"], "s3:ObjectCreated:*");
    assert_eq!(target(&notification["Queue"]), Some("SplitQueue"));
    let rule = &notification["Filter"]["S3Key"]["Rules"][0];
    assert_eq!(rule, &json!({"Name": "prefix", "Value": "uploads/"}));

    let policy = template.properties("SplitQueuePolicy");
    assert_eq!(target(&policy["Queues"][0]), Some("SplitQueue"));
    let statement = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "s3.amazonaws.com");
    let source = &statement["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::Sub"];
    let bucket_name = bucket["BucketName"]["Fn::Sub"].as_str().unwrap();
    let source = source.as_str().unwrap();
    assert!(source.ends_with(&format!(":::{bucket_name}")), "{source}");
    assert_eq!(
        template.root()["Resources"]["Bucket"]["DependsOn"],
        "SplitQueuePolicy"
    );
}

#[test]
fn every_function_has_a_log_that_does_not_last_for_ever() {
    let template = Template::of_the_product().unwrap();
    for (name, group) in template.resources("AWS::Logs::LogGroup") {
        assert!(!group["RetentionInDays"].is_null(), "{name}");
    }
    let mut groups = BTreeSet::new();
    for function in template.functions().unwrap() {
        let group = target(&function.properties["LoggingConfig"]["LogGroup"]).unwrap();
        assert!(template.properties(group).is_object(), "{group}");
        assert!(groups.insert(group.to_owned()), "{group} is shared");
    }
}
