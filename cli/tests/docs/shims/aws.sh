#!/bin/bash
# Calls of the documents, with the arguments that these calls take (AWS CLI command reference). No value may be empty.
case "$1 $2" in
"secretsmanager put-secret-value") known="--secret-id --secret-string" ;;
"lambda list-event-source-mappings") known="--function-name" ;;
"lambda update-event-source-mapping") known="--uuid --enabled --no-enabled" ;;
"sqs start-message-move-task") known="--source-arn --destination-arn" ;;
"dynamodb restore-table-to-point-in-time") known="--source-table-name --target-table-name --restore-date-time --use-latest-restorable-time" ;;
"service-quotas list-service-quotas") known="--service-code --region" ;;
"service-quotas request-service-quota-increase") known="--service-code --quota-code --desired-value" ;;
"cloudformation describe-stacks") known="--stack-name --query --output" ;;
"logs tail") known="--follow --since --filter-pattern" ;;
*)
	echo "this call of aws is not known to cli/tests/docs/shims/aws.sh: $1 $2" >&2
	exit 1
	;;
esac
for argument in "${@:3}"; do
	case "$argument" in
	"") echo "an argument of aws $1 $2 is empty" >&2 && exit 1 ;;
	--*) [[ " $known " == *" $argument "* ]] || { echo "aws $1 $2 takes no $argument" >&2 && exit 1; } ;;
	esac
done
case "$1 $2" in
"service-quotas list-service-quotas") echo '{"Quotas": [{"QuotaName": "Concurrent executions", "Value": 1000.0}]}' ;;
esac
