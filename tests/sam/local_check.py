#!/usr/bin/env python3
"""Runs every function under `sam local` over stand-ins for AWS. `make local-check` and `make local` call it.

usage: local_check.py [--serve]

Without --serve: invokes each function with its events of events/ and compares the answers; then lets the list of the upload event travel
through all of them. With --serve: the HTTP API on http://127.0.0.1:3000, until it is interrupted.
"""

import base64
import hashlib
import ipaddress
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import boto3
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAM = ROOT / ".venv/aws/bin/sam"
EVENTS = ROOT / "events"
BUILT = ROOT / ".aws-sam/build/template.yaml"
LOCAL = BUILT.with_name("local.yaml")
REGION = "eu-central-1"
TOKEN = "sam-local"  # the bearer token of the events
STACK = "imgsweep-development"  # and the beginning of their queues' names
ARCHITECTURE = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
ENDPOINTS = [
    f"AWS_ENDPOINT_URL_{service}" for service in ("DYNAMODB", "SQS", "SNS", "S3", "SECRETS_MANAGER")
]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}


def need_docker():
    if not shutil.which("docker"):
        sys.exit("local-check needs a Docker engine. On Debian: apt-get install docker.io, then start dockerd.")
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        sys.exit("local-check needs a Docker engine that runs: `docker info` fails. Start dockerd, or see that you may use its socket.")
    image = f"public.ecr.aws/lambda/provided:al2023-{ARCHITECTURE}"
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode != 0:
        if not shutil.which("apt-get"):
            sys.exit(f"local-check needs the image {image}: docker pull {image}")
        print(f"{image} is not here; a stand-in is made of Debian's packages (`docker pull` gets the real one)", file=sys.stderr)
        subprocess.run([ROOT / "tests/sam/base-image.sh", image], check=True)


class Emulators:
    """The stand-ins, as the tests start them. They end with this process, because their standard input does."""

    def __init__(self):
        home = ROOT / ".venv/emulators/bin"
        script = ROOT / "shared/aws-emulators/emulators.py"
        command = [home / "python", script, home / "dynoxide"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addresses = json.loads(self.process.stdout.readline())

    def client(self, service):
        address = self.addresses["dynamodb" if service == "dynamodb" else "others"]
        return boto3.client(
            service, endpoint_url=address, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )


def bridged(address):
    """The address under which containers reach `address`: the stand-ins listen on loop-back only, so a port of the bridge is passed on."""
    bridge = json.loads(subprocess.check_output(["docker", "network", "inspect", "bridge"]))
    network = bridge[0]["IPAM"]["Config"][0]
    # Some engines leave the gateway out; it is the first address.
    gateway = network.get("Gateway") or str(next(ipaddress.ip_network(network["Subnet"]).hosts()))
    port = int(address.rsplit(":", 1)[1])
    listener = socket.create_server((gateway, 0))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side hung up

    def accept():
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://{gateway}:{listener.getsockname()[1]}"


def create_stack(emulators, template):
    """Makes what the template declares and returns the functions' variables."""
    resources = template["Resources"]
    table = resources["Table"]["Properties"]
    wanted = ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode"]
    emulators.client("dynamodb").create_table(TableName=STACK, **{name: table[name] for name in wanted})
    emulators.client("s3").create_bucket(Bucket=STACK, CreateBucketConfiguration={"LocationConstraint": REGION})
    tokens = {TOKEN: hashlib.sha256(TOKEN.encode()).hexdigest()}
    emulators.client("secretsmanager").create_secret(Name=STACK, SecretString=json.dumps(tokens))
    topic = emulators.client("sns").create_topic(Name=STACK)["TopicArn"]
    variables = {"TABLE_NAME": STACK, "BUCKET_NAME": STACK, "API_TOKENS_SECRET": STACK, "COMPLETION_TOPIC_ARN": topic}

    sqs = emulators.client("sqs")
    for name, resource in resources.items():
        if resource["Type"] != "AWS::SQS::Queue":
            continue
        properties = resource["Properties"].items()
        attributes = {key: str(value).lower() for key, value in properties if isinstance(value, (bool, int))}
        url = sqs.create_queue(QueueName=f"{STACK}-{name}", Attributes=attributes)["QueueUrl"]
        variable = "".join("_" + letter if letter.isupper() else letter.upper() for letter in name).lstrip("_")
        variables[f"{variable}_URL"] = url
    return variables


def local_template(template):
    """SAM hands only those variables to a function that its template names, and cannot leave out an authoriser by a condition."""
    template["Globals"]["Function"]["Environment"]["Variables"].update(dict.fromkeys(ENDPOINTS, ""))
    del template["Resources"]["JwtAuthorizer"]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ApiGatewayV2::Route":
            resource["Properties"].pop("AuthorizationType")
            resource["Properties"].pop("AuthorizerId", None)
    LOCAL.write_text(yaml.safe_dump(template))


class Sam:
    def __init__(self, template, variables):
        self.scratch = tempfile.TemporaryDirectory()
        self.variables = pathlib.Path(self.scratch.name) / "variables.json"
        self.variables.write_text(json.dumps({"Parameters": variables}))
        self.logical_ids = {}
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function":
                self.logical_ids[resource["Metadata"]["BuildProperties"]["Binary"]] = logical_id

    def command(self, *arguments):
        return [
            str(SAM), "local", *arguments, "--template", str(LOCAL), "--env-vars", str(self.variables), "--region", REGION,
            "--skip-pull-image", "--parameter-overrides", f"Architecture={ARCHITECTURE}",
        ]

    def environment(self):
        return {**os.environ, **CREDENTIALS, "SAM_CLI_TELEMETRY": "0"}

    def invoke(self, function, event):
        """Answer and log of a function; `event` is a file of events/ or an event itself."""
        if isinstance(event, dict):
            path = pathlib.Path(self.scratch.name) / "event.json"
            path.write_text(json.dumps(event))
        else:
            path = EVENTS / f"{function}.{event}.json"
        # A name server that is not there: nothing that a list names is asked for.
        command = self.command("invoke", self.logical_ids[function], "--event", str(path), "--container-dns", "127.0.0.1")
        run = subprocess.run(command, env=self.environment(), capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{function} {path.name}: exit status {run.returncode}\n{run.stdout}\n{run.stderr}")
        return json.loads(run.stdout.strip().splitlines()[-1]), run.stderr


def expect(what, condition, seen):
    if not condition:
        sys.exit(f"FAILED {what}: {seen}")
    print(f"ok     {what}")


def body(answer):
    text = answer["body"]
    return json.loads(base64.b64decode(text) if answer.get("isBase64Encoded") else text)


def check_events(sam):
    """Every event of events/, as it is."""
    nothing_failed = {"batchItemFailures": []}
    answer, _ = sam.invoke("upload", "multipart")
    expect("upload multipart: 202", answer["statusCode"] == 202, answer)
    uploaded = body(answer)["batch_id"]
    answer, _ = sam.invoke("upload", "presigned")
    expect("upload presigned: 201 and an address", answer["statusCode"] == 201 and "/uploads/" in body(answer)["upload"]["url"], answer)
    answer, _ = sam.invoke("api", "health")
    expect("api health: 200", answer["statusCode"] == 200 and body(answer)["status"] == "ok", answer)
    answer, _ = sam.invoke("api", "batches")
    expect("api batches: 200 and none completed", answer["statusCode"] == 200 and uploaded not in json.dumps(body(answer)), answer)
    answer, _ = sam.invoke("api", "stats")
    pending = body(answer)["data"]["queue_stats"]["pending"]
    expect("api stats: the uploaded list is pending", answer["statusCode"] == 200 and pending == 1, answer)
    # These name a batch that is not there: old news, which is no failure.
    for function, kind in [
        ("fan-out", "split"), ("fan-out", "object-created"), ("analyze", "chunk"), ("analyze", "part"), ("finalize", "finalize"),
        ("vision", "part"), ("janitor", "dead-letter"),
    ]:
        answer, log = sam.invoke(function, kind)
        expect(f"{function} {kind}: no message failed", answer == nothing_failed, f"{answer}\n{log}")
    answer, log = sam.invoke("emit-metrics", "metrics")
    lines = log.count('"RowsTotal":')
    expect("emit-metrics metrics: a line a part", answer == nothing_failed and lines == 2, f"{answer}\n{log}")
    answer, log = sam.invoke("janitor", "schedule")
    expect("janitor schedule: nothing to mend", answer["splits"] == 0 and '"DeadLetters":' in log, f"{answer}\n{log}")


def check_travel(sam, emulators, variables):
    """The list of the upload event, its hosts replaced by one that nobody may ask, from queue to queue, every message as it was sent."""
    event = json.loads((EVENTS / "upload.multipart.json").read_text())
    form = base64.b64decode(event["body"]).replace(b"https://images.example.com/", b"http://127.0.0.1/")
    event["body"] = base64.b64encode(form).decode()
    event["headers"]["content-length"] = str(len(form))
    answer, log = sam.invoke("upload", event)
    expect("upload: the list is taken", answer["statusCode"] == 202, f"{answer}\n{log}")
    batch = body(answer)["batch_id"]
    sqs = emulators.client("sqs")
    for function, kind, queue in [
        ("fan-out", "split", "SPLIT"), ("analyze", "chunk", "CHUNKS"), ("emit-metrics", "metrics", "METRICS"), ("finalize", "finalize", "FINALIZE"),
    ]:
        received = sqs.receive_message(QueueUrl=variables[f"{queue}_QUEUE_URL"], MaxNumberOfMessages=10)
        messages = [message for message in received.get("Messages", []) if batch in message["Body"]]
        expect(f"one message for {function}", len(messages) == 1, messages)
        event = json.loads((EVENTS / f"{function}.{kind}.json").read_text())
        event["Records"] = [{**event["Records"][0], "body": messages[0]["Body"]}]
        answer, log = sam.invoke(function, event)
        expect(f"{function}: the message is done", answer == {"batchItemFailures": []}, f"{answer}\n{log}")
    event = json.loads((EVENTS / "api.batches.json").read_text())
    path = f"/api/v1/batches/{batch}"
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["rawQueryString"] = ""
    answer, _ = sam.invoke("api", event)
    detail = body(answer)
    expect("the batch is COMPLETED", detail["status"] == "COMPLETED", detail)
    progress = detail["progress"]
    expect("all of its four rows are done", progress["rows_total"] == progress["rows_done"] == 4, progress)
    outcomes = {"blocked_address": 2, "invalid_url": 1, "duplicate_url": 1}
    expect("each with its outcome", progress["by_outcome"] == outcomes, progress)


def main():
    need_docker()
    template = yaml.safe_load(BUILT.read_text())
    emulators = Emulators()
    variables = create_stack(emulators, template)
    dynamodb, others = bridged(emulators.addresses["dynamodb"]), bridged(emulators.addresses["others"])
    addresses = dict.fromkeys(ENDPOINTS, others) | {ENDPOINTS[0]: dynamodb}
    local_template(template)
    sam = Sam(template, {**variables, **addresses})
    if "--serve" in sys.argv[1:]:
        print(f"the bearer token is {TOKEN}", file=sys.stderr)
        sys.exit(subprocess.run(sam.command("start-api", "--warm-containers", "LAZY"), env=sam.environment()).returncode)
    check_events(sam)
    check_travel(sam, emulators, variables)


if __name__ == "__main__":
    main()
