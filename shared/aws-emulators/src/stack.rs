//! One deployment's table, bucket and queues, made from the template.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{Client, REGION};
use crate::{Emulators, QueueDeclaration, Template};

/// Credentials that the stand-ins take for their usual account.
const ACCESS_KEY: &str = "test";

/// Table, bucket and queues of one test.
#[derive(Debug, Clone)]
pub struct Stack {
    name: String,
    variables: BTreeMap<String, String>,
}

impl Stack {
    /// Makes what the template of this repository declares, under names of its own.
    pub async fn create() -> Self {
        let emulators = Emulators::shared();
        let template = Template::of_this_repository();
        let client = Client::new();
        let name = format!("test-{:016x}", fastrand::u64(..));
        let mut variables = BTreeMap::new();
        for (variable, value) in [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", ACCESS_KEY),
            ("AWS_ENDPOINT_URL_DYNAMODB", emulators.dynamodb()),
            ("AWS_ENDPOINT_URL_SQS", emulators.others()),
            ("AWS_ENDPOINT_URL_SNS", emulators.others()),
            ("AWS_ENDPOINT_URL_S3", emulators.others()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", emulators.others()),
            ("TABLE_NAME", &name),
            ("BUCKET_NAME", &name),
        ] {
            variables.insert(variable.to_owned(), value.to_owned());
        }

        create_table(&client, emulators, &template, &name).await;
        let bucket = format!("{}/{name}", emulators.others());
        let location = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        client.put(&bucket, location).await;
        let urls = create_queues(&client, emulators, &template.queues(), &name).await;
        variables.extend(urls);
        Self { name, variables }
    }

    /// The environment of a function of this deployment: everything but the names of secrets.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Has services asked at another address, such as a [`crate::Proxy`]'s. `service` as in the variable: `DYNAMODB`, `SQS`, `SNS`, `S3`,
    /// `SECRETS_MANAGER`.
    #[must_use]
    pub fn with_endpoint(mut self, service: &str, address: &str) -> Self {
        self.variables
            .insert(format!("AWS_ENDPOINT_URL_{service}"), address.to_owned());
        self
    }

    /// Every item of the table, as the wire has them.
    pub async fn items(&self) -> Vec<Value> {
        let scan = json!({ "TableName": self.name, "ConsistentRead": true });
        let answer = Client::new()
            .call(
                Emulators::shared().dynamodb(),
                "DynamoDB_20120810.Scan",
                &scan,
            )
            .await;
        answer["Items"].as_array().unwrap().clone()
    }

    /// Stores a secret and returns its name.
    pub async fn create_secret(&self, text: &str) -> String {
        let name = format!("{}/{:08x}", self.name, fastrand::u32(..));
        let secret = json!({ "Name": name, "SecretString": text });
        let address = Emulators::shared().others();
        Client::new()
            .call(address, "secretsmanager.CreateSecret", &secret)
            .await;
        name
    }

    /// A topic, and a queue that hears of everything that is announced on it.
    pub async fn create_topic(&self) -> Subscription {
        let others = Emulators::shared().others();
        let client = Client::new();
        let name = format!("{}-ends", self.name);
        let created = format!("Action=CreateTopic&Version=2010-03-31&Name={name}");
        let created = client.form(others, created).await;
        let arn = created.split("<TopicArn>").nth(1);
        let arn = arn.and_then(|rest| rest.split("</TopicArn>").next());
        let arn = arn.unwrap().to_owned();
        let queue = json!({ "QueueName": name });
        let queue = client.call(others, "AmazonSQS.CreateQueue", &queue).await;
        let queue = queue["QueueUrl"].as_str().unwrap().to_owned();
        let endpoint = queue_arn(&client, &queue).await;
        let subscription = format!(
            "Action=Subscribe&Version=2010-03-31&TopicArn={arn}&Protocol=sqs&Endpoint={endpoint}\
             &Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value=true"
        );
        client.form(others, subscription).await;
        Subscription { arn, queue }
    }

    /// From now on the split queue hears of objects below `uploads/`, as the template has it. The first message it gets is a test event of
    /// S3's own.
    pub async fn announce_uploads(&self) {
        let split_queue = &self.variables["SPLIT_QUEUE_URL"];
        let client = Client::new();
        let arn = queue_arn(&client, split_queue).await;
        let configuration = format!(
            "<NotificationConfiguration><QueueConfiguration><Queue>{arn}</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key>\
             <FilterRule><Name>prefix</Name><Value>uploads/</Value></FilterRule></S3Key></Filter></QueueConfiguration>\
             </NotificationConfiguration>"
        );
        let bucket = format!(
            "{}/{}?notification",
            Emulators::shared().others(),
            self.name
        );
        client.put(&bucket, configuration).await;
    }
}

/// A topic that somebody listens to.
#[derive(Debug, Clone)]
pub struct Subscription {
    arn: String,
    queue: String,
}

impl Subscription {
    /// The topic's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What was announced since the last call: messages and the text of their attribute `type`.
    pub async fn announced(&self) -> Vec<(String, String)> {
        let client = Client::new();
        let others = Emulators::shared().others();
        let mut announced = Vec::new();
        loop {
            let receive = json!({
                "QueueUrl": self.queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
            });
            let received = client
                .call(others, "AmazonSQS.ReceiveMessage", &receive)
                .await;
            let messages = received["Messages"].as_array();
            let Some(messages) = messages.filter(|messages| !messages.is_empty()) else {
                return announced;
            };
            for message in messages {
                let kind = &message["MessageAttributes"]["type"]["StringValue"];
                let body = message["Body"].as_str().unwrap();
                announced.push((kind.as_str().unwrap().to_owned(), body.to_owned()));
                let delete = json!({
                    "QueueUrl": self.queue, "ReceiptHandle": message["ReceiptHandle"],
                });
                client
                    .call(others, "AmazonSQS.DeleteMessage", &delete)
                    .await;
            }
        }
    }
}

async fn create_table(client: &Client, emulators: &Emulators, template: &Template, name: &str) {
    let mut table = template.table();
    table.insert("TableName".to_owned(), json!(name));
    let create = "DynamoDB_20120810.CreateTable";
    let table = Value::Object(table);
    client.call(emulators.dynamodb(), create, &table).await;
    let expiry = json!({
        "TableName": name,
        "TimeToLiveSpecification": { "AttributeName": template.expiry_attribute(), "Enabled": true },
    });
    let expire = "DynamoDB_20120810.UpdateTimeToLive";
    client.call(emulators.dynamodb(), expire, &expiry).await;
}

/// Makes all queues, those that others point at first, and returns their addresses by the variables that tell functions of them.
async fn create_queues(
    client: &Client,
    emulators: &Emulators,
    queues: &[QueueDeclaration],
    stack: &str,
) -> BTreeMap<String, String> {
    let mut by_dependence: Vec<&QueueDeclaration> = queues.iter().collect();
    by_dependence.sort_by_key(|queue| queue.redrive.is_some());
    let mut arns: BTreeMap<&str, String> = BTreeMap::new();
    let mut variables = BTreeMap::new();
    for queue in by_dependence {
        let mut attributes = queue.attributes.clone();
        if let Some((dead_letters, receives)) = &queue.redrive {
            let policy = json!({
                "deadLetterTargetArn": arns[dead_letters.as_str()],
                "maxReceiveCount": receives,
            });
            attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
        }
        let request = json!({
            "QueueName": format!("{stack}-{}", queue.name),
            "Attributes": attributes,
        });
        let answer = client
            .call(emulators.others(), "AmazonSQS.CreateQueue", &request)
            .await;
        let url = answer["QueueUrl"].as_str().unwrap();
        arns.insert(&queue.name, queue_arn(client, url).await);
        for variable in &queue.variables {
            variables.insert(variable.clone(), url.to_owned());
        }
    }
    variables
}

async fn queue_arn(client: &Client, url: &str) -> String {
    let request = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
    let address = Emulators::shared().others();
    let answer = client
        .call(address, "AmazonSQS.GetQueueAttributes", &request)
        .await;
    answer["Attributes"]["QueueArn"]
        .as_str()
        .unwrap()
        .to_owned()
}
