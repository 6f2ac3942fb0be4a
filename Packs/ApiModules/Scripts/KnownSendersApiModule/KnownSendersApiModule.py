"""What the webhooks of known senders look like: data only, one row for each form of payload.

It knows nothing of requests, paths, severities or XSOAR, and imports nothing of ours:
WebhookMappingApiModule reads the rows, which are facts about formats, never about one example.
Above a row stands the source of its facts.

A row names the conditions under which a payload is its sender's, and the fields in which that
sender says what an incident needs. Every text is in the syntax that the parameters of the same
purpose have:

path
    Names and numbers with dots: `alerts.0.labels.severity`, also `alerts[0].labels.severity`. A key
    that has dots itself is written as it is. A path has a value where it leads to something other
    than null. `headers.x-event-key` is a header of the request, and `parent.saved_search.name`
    stands around the array that `events` names.
when
    Conditions that all hold, with blanks between them: `path` has a value, `path=value` is that
    text (a number or boolean as JSON writes it, upper and lower case matter), `path=prefix*` begins
    with it; `header:name` and `header:name=value` are the same for a header of the request; `!`
    before a path or a header says that it has no value. No value has a blank.
    The most specific row counts: a path counts 1, a value or prefix 2, a header 10 times that, an
    absence 1; among equals the row with more exact values, then the earlier row. A row that is
    `weak` counts where no other fits.
name
    Alternatives with `;` between them, of which the first counts whose every path has a value. An
    alternative is a path, or a text with paths in braces: `{rule} on {host.name, host.ip}` takes
    the first path in a brace that has a value.
severity, words
    Paths with `,` between them, of which the first counts whose value is a severity: a usual word,
    or one of `words`: `page=critical, 90-100=high` (a word in any case, a number or a range, and
    what it means). A number counts only where `words` names it.
occurred, link
    Paths with `,` between them; the first counts that leads to a date, or to an address with http
    or https.
events
    Paths to an array, with `,` between them; each of its elements is an event, to which the other
    fields apply.
inside
    A path to an object that another sender wrote, which is recognized by itself; where nobody is,
    this row counts. `decoded` is what an envelope carries as text.
identity, family
    Keys with `,` between them, of which the first counts whose every path has a value; `+` joins
    paths, and their values, to one key. A key stays the same from an alert's start to its end, or
    names this very event; it holds no time and no status. It is kept as `<family>:<value>`. Rows of
    one family agree on the value; without a family it is the row's id.
closed
    Conditions with `;` between them, of which any ends what `identity` names: `path=value|value`,
    in any case; a value that ends in `*` is a prefix.
fixed_start
    Where many alerts have the same identity, one after the other: `occurred` is the time at which
    an alert began, also in the event that ends it, which therefore ends the alert of that time
    alone.
answer
    What the sender wants to read once its event is an incident, where it depends on it: `empty`
    shows nothing to the person who caused the event, `twiml` and `salesforce` are documents that
    end the sender's retries.

Sources: a web address is the vendor's documentation; anything else is a public repository and a
path in it, with SEKOIA for SEKOIA-IO/intake-formats, SEKOIA-docs for SEKOIA-IO/documentation
(_shared_content/operations_center/integrations/generated), panther-analysis for
panther-labs/panther-analysis, pagertree for PagerTree/pager_tree-integrations
(test/models/pager_tree/integrations), keep for keephq/keep (keep/providers), content-hub for
chronicle/content-hub (content/response_integrations), matano for matanolabs/matano, hookdeck for
hookdeck/webhook-skills (skills), telegraf for influxdata/telegraf (plugins/inputs), oncall for
grafana/oncall (engine/config_integrations), alerta for alerta/alerta, go-scm for drone/go-scm
(scm/driver) and django-anymail for anymail/django-anymail.
"""

from typing import NamedTuple


class Sender(NamedTuple):
    """One form of payload; the module's docstring explains the syntax of each field."""

    id: str
    title: str
    when: str
    events: str = ""
    inside: str = ""
    weak: bool = False
    family: str = ""
    name: str = ""
    severity: str = ""
    words: str = ""
    occurred: str = ""
    identity: str = ""
    closed: str = ""
    fixed_start: bool = False
    link: str = ""
    answer: str = ""


# fmt: off
# The formatter would give each field a line of its own: a row is read as a whole.
KNOWN_SENDERS: tuple[Sender, ...] = (
    # ---- EDR, XDR

    # SEKOIA-docs 22f2afd2-c858-443d-8e06-7b335e439c29; severities: the vendor's 1-100 scale.
    Sender("crowdstrike-alert", "CrowdStrike Falcon alert", when="composite_id display_name",
           family="crowdstrike", name="{display_name} on {device.hostname}; display_name",
           severity="severity_name, severity",
           words="80-100=critical, 60-79=high, 40-59=medium, 20-39=low, 1-19=info",
           occurred="created_timestamp, timestamp", identity="composite_id", closed="status=closed",
           link="falcon_host_link"),
    # demisto/content Packs/CrowdStrikeFalcon/Integrations/CrowdStrikeFalcon/test_data/input_data.py
    Sender("crowdstrike-detection", "CrowdStrike Falcon detection",
           when="detection_id max_severity_displayname", family="crowdstrike",
           name="{behaviors.0.display_name, behaviors.0.scenario, display_name} on "
                "{device.hostname}; display_name",
           severity="max_severity_displayname", occurred="first_behavior, created_timestamp",
           identity="detection_id", closed="status=closed|true_positive|false_positive|ignored"),
    # SEKOIA-docs 22f2afd2-c858-443d-8e06-7b335e439c29 (samples): detection summaries count from 1
    # to 5, the newer endpoint detections from 1 to 100.
    Sender("crowdstrike-stream", "CrowdStrike Falcon event stream",
           when="metadata.customerIDString metadata.eventType event", family="crowdstrike",
           name="{event.DetectName, event.Name, event.DetectDescription, "
                "event.IncidentDescription} on {event.ComputerName, event.Hostname, "
                "event.SourceEndpointHostName}; {event.DetectName, event.Name, "
                "event.DetectDescription, event.OperationName, event.IncidentDescription, "
                "event.Description}; metadata.eventType",
           severity="event.SeverityName, event.Severity",
           words="5=critical, 4=high, 3=medium, 2=low, 1=info, 80-100=critical, 60-79=high, "
                 "40-59=medium, 20-39=low, 6-19=info",
           occurred="event.ProcessStartTime, event.ContextTimeStamp, event.StartTime, "
                    "event.UTCTimestamp, metadata.eventCreationTime",
           identity="event.CompositeId, event.DetectId, event.DetectionId, event.IncidentID, "
                    "event.IncidentId",
           link="event.FalconHostLink"),
    # demisto/content
    # Packs/MicrosoftDefenderAdvancedThreatProtection/.../test_data/first_response_alerts.json;
    # https://learn.microsoft.com/defender-endpoint/api/alerts
    Sender("defender-endpoint-alert", "Microsoft Defender for Endpoint alert",
           when="machineId detectionSource incidentId alertCreationTime",
           name="{title} on {computerDnsName}; title", severity="severity",
           occurred="alertCreationTime, firstEventTime", identity="id", closed="status=resolved"),
    # SEKOIA-docs 05e6f36d-cee0-4f06-b575-9e43af779f9f (samples)
    Sender("defender-advanced-hunting", "Microsoft Defender XDR streaming event",
           when="category=AdvancedHunting* properties tenantId",
           name="properties.Title; {properties.ActionType} on {properties.DeviceName}; {category} "
                "{properties.ActionType}; category",
           severity="properties.Severity", occurred="properties.Timestamp, time",
           identity="properties.ReportId+properties.DeviceId"),
    # SEKOIA SentinelOne/sentinelone/tests/threat5.json
    Sender("sentinelone-threat", "SentinelOne threat", when="threatInfo agentRealtimeInfo",
           name="{threatInfo.threatName} on {agentRealtimeInfo.agentComputerName}; "
                "threatInfo.threatName",
           severity="threatInfo.confidenceLevel", words="malicious=high, suspicious=medium",
           occurred="threatInfo.createdAt, threatInfo.identifiedAt",
           identity="threatInfo.threatId, id", closed="threatInfo.incidentStatus=resolved"),
    # SEKOIA SentinelOne/identity/tests/test_alert_2_detailed.json; severity_id is OCSF's scale.
    Sender("sentinelone-alert", "SentinelOne unified alert",
           when="detectionSource.product analystVerdict detectedAt", name="name; description",
           severity="severity, rawData.severity_id",
           words="1=info, 2=low, 3=medium, 4=high, 5-6=critical", occurred="detectedAt",
           identity="id", closed="status=resolved"),
    # demisto/content Packs/SentinelOne/Integrations/SentinelOneEventCollector/test_data/alerts.json
    Sender("sentinelone-custom-alert", "SentinelOne custom (STAR) alert",
           when="alertInfo.alertId ruleInfo",
           name="{ruleInfo.name} on {agentDetectionInfo.name, agentRealtimeInfo.name}; "
                "ruleInfo.name",
           severity="ruleInfo.severity", occurred="alertInfo.createdAt",
           identity="alertInfo.alertId", closed="alertInfo.incidentStatus=resolved"),
    # SEKOIA SentinelOne/sentinelone/tests/activity-type-47.json
    Sender("sentinelone-activity", "SentinelOne activity", when="activityType primaryDescription",
           name="primaryDescription", occurred="createdAt", identity="id"),
    # SEKOIA Palo Alto Networks/paloalto-cortex-xdr/tests/alerts_1.json and alerts_5.json; every
    # status from 030 on is a resolution.
    Sender("cortex-xdr-alert", "Palo Alto Networks Cortex XDR alert",
           when="external_id detection_timestamp matching_status",
           name="{name}: {description}; name; description", severity="severity",
           occurred="detection_timestamp", identity="alert_id, external_id",
           closed="resolution_status=status_03*|status_04*|status_05*|status_06*|status_07*|"
                  "status_08*|status_09*|status_1*"),
    # SEKOIA Trend Micro/trend-micro-vision-one-workbench/tests/test_eicar_test_file_detection.json
    Sender("trend-workbench", "Trend Vision One Workbench alert",
           when="investigationStatus modelId workbenchLink", name="model; description",
           severity="severity", occurred="createdDateTime", identity="id", closed="status=closed",
           link="workbenchLink"),
    # SEKOIA-docs 2345b987-a94a-4363-b7bc-a6e4a9efd98a (samples), both rows
    Sender("trend-oat", "Trend Vision One observed attack technique",
           when="detectedDateTime filters.0.riskLevel entityType",
           name="filters.0.name; {detail.eventName, source}", severity="filters.0.riskLevel",
           words="undefined=unknown", occurred="detectedDateTime", identity="uuid"),
    Sender("trend-oat-flat", "Trend Vision One observed attack technique, flat",
           when="filterRiskLevel eventName",
           name="{ruleName, policyName}: {eventSubName, eventName}; eventName",
           severity="filterRiskLevel", words="undefined=unknown", occurred="eventTime, rt",
           identity="uuid"),
    # panther-analysis rules/carbonblack_rules/cb_passthrough.yml; severities: the vendor's 1-10
    # scale.
    Sender("carbonblack-alert", "VMware Carbon Black Cloud alert",
           when="org_key device_name reason", name="{reason} ({device_name})", severity="severity",
           words="9-10=critical, 7-8=high, 4-6=medium, 1-3=low",
           occurred="backend_timestamp, detection_timestamp, create_time, first_event_time",
           identity="id", closed="workflow.status=closed|dismissed; workflow.state=dismissed",
           link="alert_url"),
    # content-hub sophos/resources/get_events_log_JsonResult_example.json
    Sender("sophos-central", "Sophos Central event",
           when="endpoint_id customer_id severity type name", name="name", severity="severity",
           occurred="when, created_at, end", identity="id"),
    # SEKOIA Sophos/sophos-analysis-threat-center/tests/ioc_view_query1.json; detections have 0-10.
    Sender("sophos-threat-center", "Sophos Threat Analysis Center detection",
           when="ioc_severity ioc_detection_id",
           name="{ioc_detection_description, description, ioc_detection_id} on {meta_hostname}; "
                "{query_name} on {meta_hostname}",
           severity="ioc_severity", words="9-10=critical, 7-8=high, 4-6=medium, 1-3=low, 0=info",
           occurred="calendar_time, ingestion_timestamp, unix_time"),
    # https://www.bitdefender.com/business/support/en/77211-135325-push-event-json-rpc-messages.html
    Sender("bitdefender", "Bitdefender GravityZone", when="jsonrpc method=addEvents params.events",
           events="params.events",
           name="{malware_name, exploit_type, attack_type, detection_name, threatName, module} on "
                "{computer_name, computer_fqdn, endpointName}: {final_status, main_action, "
                "status}; {malware_name, module} on {computer_name, computer_fqdn}; module",
           occurred="timestamp, create_time, lastActivity", identity="incident_id"),
    # SEKOIA-docs 2ffff1fd-fed7-4a24-927a-d619f2bb584a (samples); occured is the vendor's spelling.
    Sender("eset", "ESET PROTECT", when="event_type source_uuid occured",
           name="{rulename, threat_name, event}; {event_type}: {detail, action}; event_type",
           severity="severity", occurred="occured", identity="eialarmid", link="eiconsolelink"),
    # SEKOIA-docs 033cd098-b21b-4c9b-85c4-c8174c307e48 (samples)
    Sender("withsecure", "WithSecure Elements", when="engine persistenceTimestamp severity",
           name="{engine} {action}: {details.infectionName, details.alertType, "
                "details.description, source}; {engine} {action}",
           severity="severity", occurred="clientTimestamp, persistenceTimestamp, serverTimestamp",
           identity="id"),
    # SEKOIA HarfangLab/harfanglab/tests/antivirus.json
    Sender("harfanglab", "HarfangLab", when="rule_name level agent.agentid",
           name="{rule_name} on {agent.hostname}; rule_name", severity="level",
           occurred="alert_time, detection_date, @timestamp", identity="alert_unique_id, id",
           closed="status=closed|false_positive"),
    # SEKOIA Stormshield/stormshield-endpoint-security/tests/test_type_53.json; severities as in
    # syslog.
    Sender("stormshield-ses", "Stormshield Endpoint Security",
           when="EventGuid TypeComputedMap Severity",
           name="{TypeComputedMap}: {SpecificData.SourceProcess.ProcessImageName}; TypeComputedMap",
           severity="Severity", words="0-2=critical, 3=high, 4=medium, 5=low, 6-7=info",
           occurred="Timestamp", identity="EventGuid"),
    # SEKOIA Tehtris/tehtris-edr/tests/test_sandbox_alert.json; what its levels mean is not
    # documented.
    Sender("tehtris", "TEHTRIS", when="rflId egKBId lvl",
           name="{eventName}: {description}; eventName", occurred="time", identity="rflId+id"),
    # refractionPOINT/documentation output/raw-markdown/detection-on-alternate-targets.md; its
    # priorities have no documented scale.
    Sender("limacharlie", "LimaCharlie detection", when="cat detect routing.hostname",
           name="{cat} on {routing.hostname}", occurred="routing.event_time, gen_time",
           identity="detect_id", link="link"),
    # aquasecurity/postee README.md; what its severities mean is not documented.
    Sender("tracee", "Tracee", when="SigMetadata.ID Context",
           name="{SigMetadata.Name} on {Context.hostName}; SigMetadata.Name; SigMetadata.ID",
           occurred="Context.timestamp"),
    # elastic/integrations packages/symantec_endpoint_security/data_stream/incident/_dev/test/
    # pipeline/test-incident.log; what its severities mean is not documented.
    Sender("symantec-incident", "Symantec Endpoint Security incident",
           when="incident_uid ref_incident_uid product_uid",
           name="{rule_name}: {message}; rule_name; message", occurred="created, time",
           identity="incident_uid", link="incident_url"),
    # fleetdm/fleet docs/Using-Fleet/Automations.md, both rows
    Sender("fleet-policy", "Fleet: failing policy", when="policy.failing_host_count hosts",
           name="Policy failed on {hosts.0.hostname}: {policy.name}; Policy failed: {policy.name}",
           occurred="timestamp", link="hosts.0.url"),
    Sender("fleet-vulnerability", "Fleet: vulnerability",
           when="vulnerability.cve vulnerability.hosts_affected",
           name="{vulnerability.cve} on {vulnerability.hosts_affected.0.hostname}; "
                "vulnerability.cve",
           occurred="timestamp", link="vulnerability.details_link"),
    # https://docs.runreveal.com/sources/source-types/jamf; the keys are those of the Jamf views of
    # zentralopensource/zentral.
    Sender("jamf-pro", "Jamf Pro", when="webhook.webhookEvent event",
           name="{webhook.webhookEvent}: {event.deviceName, event.computer.deviceName, "
                "event.name}; webhook.webhookEvent",
           occurred="webhook.eventTimestamp"),
    # elastic/integrations packages/jamf_protect/_dev/deploy/docker/sample_logs/alerts.log, and
    # data_stream/web_threat_events there; what the numbers of their severities mean is not
    # documented.
    Sender("jamf-protect", "Jamf Protect alert", when="caid input.match.facts input.host",
           name="{input.match.facts.0.human, input.match.facts.0.name} on {input.host.hostname}",
           occurred="input.match.event.timestamp", identity="input.match.uuid"),
    Sender("jamf-threat", "Jamf threat event",
           when="event.alertId event.eventUrl event.eventType.description",
           name="{event.eventType.description} on {event.device.userDeviceName, "
                "event.device.deviceName}; event.eventType.description",
           occurred="event.timestamp", identity="event.alertId", link="event.eventUrl"),

    # ---- SIEM and detection platforms

    # What a Logic Apps playbook hands on;
    # https://learn.microsoft.com/azure/sentinel/playbook-triggers-actions and
    # https://learn.microsoft.com/rest/api/securityinsights/incidents/get (the same object by the
    # API)
    Sender("sentinel-incident", "Microsoft Sentinel incident",
           when="object.properties.incidentNumber", family="sentinel",
           name="#{object.properties.incidentNumber} {object.properties.title}",
           severity="object.properties.severity", occurred="object.properties.createdTimeUtc",
           identity="object.name, object.id", closed="object.properties.status=closed",
           link="object.properties.incidentUrl"),
    Sender("sentinel-api-arm", "Microsoft Sentinel incident, by the API",
           when="properties.incidentNumber properties.title", family="sentinel",
           name="#{properties.incidentNumber} {properties.title}", severity="properties.severity",
           occurred="properties.createdTimeUtc", identity="name, id",
           closed="properties.status=closed", link="properties.incidentUrl"),
    # SEKOIA Microsoft/microsoft-sentinel/tests/test_alert_without_user_2.json
    Sender("sentinel-api", "Microsoft Sentinel incident, by the SDK",
           when="incident_number incident_url title", family="sentinel",
           name="#{incident_number} {title}", severity="severity", occurred="created_time_utc",
           identity="name, id", closed="status=closed", link="incident_url"),
    # SEKOIA-docs f5ec9a05-7a5c-48a7-8898-057387d7c5d4 (samples)
    Sender("graph-alert", "Microsoft Graph security alert",
           when="serviceSource detectionSource providerAlertId", name="title", severity="severity",
           occurred="createdDateTime, firstActivityDateTime", identity="id, providerAlertId",
           closed="status=resolved", link="alertWebUrl"),
    # demisto/content Packs/MicrosoftGraphSecurity/Integrations/MicrosoftGraphSecurity/README.md
    Sender("graph-alert-v1", "Microsoft Graph security alert, legacy",
           when="vendorInformation.provider severity title", name="title; category",
           severity="severity", occurred="createdDateTime, eventDateTime", identity="id",
           closed="status=resolved", link="sourceMaterials.0"),
    # MicrosoftDocs/azure-docs articles/security-center/alerts-schemas.md
    Sender("defender-cloud", "Microsoft Defender for Cloud", when="AlertDisplayName SystemAlertId",
           name="{AlertDisplayName} on {CompromisedEntity}; AlertDisplayName", severity="Severity",
           occurred="TimeGenerated, TimeGeneratedUtc, StartTimeUtc", identity="SystemAlertId",
           closed="Status=resolved|dismissed", link="AlertUri"),
    # keep splunk_provider/splunk_provider.py; a search that alerts for each result sends one sid
    # with all of them, so that it identifies none.
    Sender("splunk", "Splunk", when="search_name sid result", name="search_name",
           severity="result.severity, result.urgency", occurred="result._time",
           link="results_link"),
    # Fields of Elastic's alerts:
    # https://www.elastic.co/guide/en/security/current/alert-schema.html; keep
    # kibana_provider/kibana_provider.py
    Sender("kibana-alerts", "Elastic Security (Kibana) alerts", when="alerts.0.kibana.alert.uuid",
           events="alerts", family="kibana",
           name="{kibana.alert.rule.name} on {host.name}; kibana.alert.rule.name",
           severity="kibana.alert.severity", occurred="kibana.alert.original_time, @timestamp",
           identity="kibana.alert.uuid",
           closed="kibana.alert.workflow_status=closed; kibana.alert.status=recovered",
           link="kibana.alert.url"),
    Sender("ecs-alert", "Elastic Security alert", when="kibana.alert.uuid kibana.alert.rule.name",
           family="kibana", name="{kibana.alert.rule.name} on {host.name}; kibana.alert.rule.name",
           severity="kibana.alert.severity", occurred="kibana.alert.original_time, @timestamp",
           identity="kibana.alert.uuid",
           closed="kibana.alert.workflow_status=closed; kibana.alert.status=recovered",
           link="kibana.alert.url"),
    # https://help.sumologic.com/docs/alerts/monitors/automation-payload-variables/
    Sender("sumo-logic", "Sumo Logic", when="TriggerType Name AlertID", name="Name",
           severity="TriggerType",
           words="resolvedcritical=info, resolvedwarning=info, resolvedmissingdata=info, "
                 "missingdata=low",
           occurred="TriggerTime", identity="AlertID", closed="TriggerType=resolved*",
           link="AlertResponseURL, QueryURL"),
    # keep graylog_provider/alerts_mock.py; 4 (critical) since Graylog 6
    Sender("graylog", "Graylog", when="event_definition_id event",
           name="event.message; event_definition_title", severity="event.priority",
           words="4=critical, 3=high, 2=medium, 1=low", occurred="event.timestamp",
           identity="event.id"),
    # alerta tests/test_webhooks.py
    Sender("graylog-legacy", "Graylog, legacy alert", when="check_result stream",
           name="{stream.title}: {check_result.result_description}; "
                "check_result.result_description",
           occurred="check_result.triggered_at"),
    # keep wazuh_provider/custom-keep.py; levels:
    # https://documentation.wazuh.com/current/user-manual/ruleset/rules/rules-classification.html
    Sender("wazuh", "Wazuh", when="rule.level rule.description agent manager",
           name="{rule.description} ({agent.name})", severity="rule.level",
           words="15-16=critical, 12-14=high, 7-11=medium, 0-6=low", occurred="timestamp",
           identity="id"),
    # https://developers.google.com/workspace/admin/alertcenter/reference/rest/v1beta1/alerts;
    # matano data/managed/log_sources/google_workspace/tables/alert.yml
    Sender("google-alert-center", "Google Workspace Alert Center",
           when="alertId customerId source type", name="{type} ({source})",
           severity="metadata.severity", occurred="startTime, createTime", identity="alertId",
           closed="metadata.status=closed", link="securityInvestigationToolLink"),
    # elastic/integrations packages/google_secops/data_stream/alert_v2/_dev/test/pipeline/
    # test-alert-v2.log
    Sender("google-secops", "Google Security Operations detection",
           when="detection.0.ruleId detection.0.ruleName detectionTime",
           name="{detection.0.ruleName}: {detection.0.description}; detection.0.ruleName",
           severity="detection.0.severity", occurred="detectionTime, createdTime", identity="id",
           link="detection.0.urlBackToProduct"),
    # nmcgrady/webhook test.sh
    Sender("panther", "Panther", when="alertId alertContext runbook", name="title; name",
           severity="severity", occurred="createdAt", identity="alertId", link="link"),
    # https://go2docs.graylog.org/current/getting_in_log_data/gelf_format.html; levels as in syslog.
    Sender("gelf", "Graylog Extended Log Format (any sender)", when="version host short_message",
           weak=True, name="short_message", severity="level",
           words="0-2=critical, 3=high, 4=medium, 5=low, 6-7=info", occurred="timestamp"),

    # ---- Cloud detection

    # panther-analysis rules/aws_guardduty_rules/aws_guardduty_high_sev_findings.yml; severities:
    # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
    Sender("aws-guardduty", "AWS GuardDuty",
           when="schemaVersion partition service.serviceName=guardduty", family="aws-guardduty",
           name="title; type", severity="severity",
           words="9.0-10.0=critical, 7.0-8.9=high, 4.0-6.9=medium, 1.0-3.9=low",
           occurred="service.eventLastSeen, updatedAt, createdAt", identity="id",
           closed="service.archived=true"),
    # content-hub aws_guard_duty/resources/get_finding_details_JsonResult_example.json
    Sender("aws-guardduty-api", "AWS GuardDuty, by the API",
           when="SchemaVersion Service.DetectorId Severity", family="aws-guardduty",
           name="Title; Type", severity="Severity",
           words="9.0-10.0=critical, 7.0-8.9=high, 4.0-6.9=medium, 1.0-3.9=low",
           occurred="Service.EventLastSeen, UpdatedAt, CreatedAt", identity="Id",
           closed="Service.Archived=true"),
    # aquasecurity/postee actions/aws_securityhub.go
    Sender("aws-securityhub", "AWS Security Hub", when="findings.0.ProductArn", events="findings",
           family="aws-securityhub", name="Title", severity="Severity.Label",
           occurred="LastObservedAt, UpdatedAt", identity="Id",
           closed="RecordState=archived; Workflow.Status=resolved|suppressed", link="SourceUrl"),
    Sender("aws-securityhub-finding", "AWS Security Hub finding",
           when="ProductArn SchemaVersion GeneratorId", family="aws-securityhub", name="Title",
           severity="Severity.Label", occurred="LastObservedAt, UpdatedAt", identity="Id",
           closed="RecordState=archived; Workflow.Status=resolved|suppressed", link="SourceUrl"),
    # matano data/managed/log_sources/aws_inspector/log_source.yml
    Sender("aws-inspector2", "AWS Inspector", when="findingArn awsAccountId firstObservedAt",
           name="title", severity="severity", words="untriaged=unknown",
           occurred="updatedAt, firstObservedAt", identity="findingArn",
           closed="status=closed|suppressed"),
    # aws/aws-lambda-go events/testdata/codepipeline-execution-state-change-event.json
    Sender("aws-eventbridge", "AWS EventBridge", when="detail-type detail source account",
           inside="detail", name="{detail-type} ({source})", occurred="time", identity="id"),
    # aws/aws-lambda-go events/testdata/sns-event.json
    Sender("aws-sns", "AWS SNS", when="TopicArn MessageId Type=Notification", inside="decoded",
           name="Subject; Message", occurred="Timestamp", identity="MessageId"),
    # GoogleCloudPlatform/security-response-automation
    # cloudfunctions/gce/createsnapshot/createsnapshot_test.go
    Sender("gcp-scc", "Google Security Command Center", when="finding notificationConfigName",
           name="{finding.category} in {resource.displayName, finding.resourceName}; "
                "finding.category",
           severity="finding.severity", occurred="finding.eventTime, finding.createTime",
           identity="finding.name", closed="finding.state=inactive", link="finding.externalUri"),
    # googleapis/google-cloudevents
    # testdata/google/events/cloud/pubsub/v1/MessagePublishedData-text.json
    Sender("pubsub", "Google Pub/Sub", when="subscription message.messageId", inside="decoded",
           name="message.attributes.findingCategory; subscription",
           severity="message.attributes.severity", occurred="message.publishTime",
           identity="message.messageId"),
    # pagertree azure_monitor/v3_test.rb; Sev0 is critical, and one rule's alerts share
    # originAlertId.
    Sender("azure-monitor", "Azure Monitor",
           when="schemaId=azureMonitorCommonAlertSchema data.essentials",
           name="{data.essentials.alertRule} {data.essentials.monitorCondition}",
           severity="data.essentials.severity",
           words="sev0=critical, sev1=high, sev2=medium, sev3=info, sev4=info",
           occurred="data.essentials.firedDateTime", identity="data.essentials.alertId",
           closed="data.essentials.monitorCondition=resolved",
           link="data.essentials.investigationLink, "
                "data.alertContext.condition.allOf.0.linkToSearchResultsUI"),
    # MicrosoftDocs/azure-docs articles/azure-monitor/alerts/activity-log-alerts-webhook.md
    Sender("azure-activity-alert", "Azure activity log alert",
           when="schemaId=Microsoft.Insights/activityLogs data.context",
           name="data.context.activityLog.properties.title; data.context.activityLog.description; "
                "data.context.activityLog.operationName",
           severity="data.context.activityLog.properties.severity, data.context.activityLog.level",
           occurred="data.context.activityLog.eventTimestamp",
           identity="data.context.activityLog.correlationId",
           closed="data.context.activityLog.status=resolved; data.status=deactivated"),
    # MicrosoftDocs/azure-docs articles/azure-monitor/alerts/alerts-log-webhook.md
    Sender("azure-log-alert", "Azure Log Analytics alert", when="AlertRuleName SearchQuery",
           name="AlertRuleName", severity="Severity",
           words="0=critical, 1=high, 2=medium, 3=info, 4=info",
           occurred="SearchIntervalEndtimeUtc", link="LinkToSearchResults"),
    # MicrosoftDocs/azure-docs articles/event-grid/event-schema-blob-storage.md
    Sender("azure-event-grid", "Azure Event Grid", when="eventType eventTime subject dataVersion",
           name="{eventType}: {subject}", severity="data.properties.severity, data.severity",
           occurred="eventTime", identity="id"),
    # microsoftgraph/microsoft-graph-docs-contrib concepts/change-notifications-delivery-webhooks.md
    Sender("graph-notification", "Microsoft Graph change notification",
           when="value.0.subscriptionId value.0.changeType", events="value",
           name="{changeType} {resource}", severity="resourceData.severity"),
    # https://docs.oracle.com/iaas/Content/Monitoring/alarm-message-format.htm
    Sender("oci-alarm", "Oracle Cloud alarm", when="alarmMetaData timestampEpochMillis",
           name="{title}: {body}; title", severity="severity",
           occurred="timestamp, timestampEpochMillis", identity="dedupeKey, dedupekey",
           closed="type=firing_to_ok"),
    # MicrosoftDocs/azure-docs
    # articles/azure-monitor/alerts/alerts-non-common-schema-definitions.md
    Sender("azure-metric-alert", "Azure metric alert, schema of its own",
           when="schemaId=AzureMonitorMetricAlert data.context",
           name="{data.context.name}: {data.context.description}; data.context.name",
           severity="data.context.severity", words="0=critical, 1=high, 2=medium, 3-4=info",
           occurred="data.context.timestamp", identity="data.context.id+data.context.resourceId, "
                                                       "data.context.id",
           closed="data.status=deactivated|resolved", link="data.context.portalLink"),

    # ---- Identity

    # https://developer.okta.com/docs/concepts/event-hooks/; Okta's severities are log levels.
    Sender("okta-event-hook", "Okta event hook", when="eventType=com.okta.event_hook data.events",
           events="data.events", family="okta",
           name="{displayMessage}: {actor.alternateId}; displayMessage", severity="severity",
           occurred="published", identity="uuid"),
    # SEKOIA Okta/okta-system-logs/tests/test_login.json
    Sender("okta", "Okta System Log", when="displayMessage published uuid eventType", family="okta",
           name="{displayMessage}: {actor.alternateId}; displayMessage", severity="severity",
           occurred="published", identity="uuid"),
    # panther-analysis rules/auth0_rules
    Sender("auth0", "Auth0", when="log_id data.type data.date", family="auth0",
           name="{data.description} {data.user_name}; data.description; {data.type} "
                "{data.user_name, data.client_name}; data.type",
           occurred="data.date", identity="log_id"),
    Sender("auth0-logs", "Auth0, several logs", when="logs.0.log_id", events="logs", family="auth0",
           name="{data.description} {data.user_name}; data.description; {data.type} "
                "{data.user_name, data.client_name}; data.type",
           occurred="data.date", identity="log_id"),
    # SEKOIA Microsoft/microsoft-entraid-graphapi/tests/test_event_0033.json
    Sender("entra-audit", "Microsoft Entra ID audit",
           when="activityDisplayName activityDateTime initiatedBy",
           name="{activityDisplayName} by {initiatedBy.user.userPrincipalName, "
                "initiatedBy.app.displayName}; activityDisplayName",
           occurred="activityDateTime", identity="id"),
    # SEKOIA Duo/duo-security/tests/test_auth_log_2.json and test_offline_log.json
    Sender("duo-auth", "Duo authentication", when="auth_device access_device txid",
           name="{event_type} {result} for {user.name}; {event_type} {result}",
           occurred="isotimestamp, timestamp", identity="txid"),
    Sender("duo-admin", "Duo administrator and offline log", when="isotimestamp eventtype action",
           name="{action} by {username}; action", occurred="isotimestamp"),
    # SEKOIA Jumpcloud/jumpcloud-directory-insights/tests/user_update.json
    Sender("jumpcloud", "JumpCloud", when="initiated_by event_type service organization",
           name="{event_type} by {initiated_by.email, initiated_by.username}; {service} "
                "{event_type}",
           occurred="timestamp", identity="id"),
    # panther-analysis rules/onelogin_rules
    Sender("onelogin", "OneLogin", when="event_type_id account_id actor_user_name",
           name="{actor_user_name}: event {event_type_id}", occurred="event_timestamp",
           identity="event_id, id"),
    # SEKOIA CyberArk/cyberark-audit-logs/tests/PAM00088.json
    Sender("cyberark-audit", "CyberArk audit", when="auditCode applicationCode tenantId",
           name="{action} by {username}; action", occurred="timestamp", identity="uuid"),
    # panther-analysis rules/push_security_rules/push_security_app_banner_acknowledged.yml
    Sender("push-security", "Push Security", when="object version new.employee",
           name="{object} {type, new.action}: {new.employee.email, new.email, new.appType}; "
                "{object} {type}; object",
           occurred="timestamp", identity="id"),
    # hookdeck fusionauth-webhooks/references/overview.md
    Sender("fusionauth", "FusionAuth", when="event.type event.tenantId event.createInstant",
           name="{event.type}: {event.user.email}; event.type", occurred="event.createInstant",
           identity="event.id"),
    # hookdeck clerk-webhooks/references/overview.md
    Sender("clerk", "Clerk", when="type instance_id object=event data",
           name="{type}: {data.id}; type", occurred="timestamp"),

    # ---- Deception, network detection

    # panther-analysis rules/thinkstcanary_rules/thinkst_canary_incident.yml and
    # thinkst_canary_dcrc.yml
    Sender("canary", "Thinkst Canary", when="CanaryName Description IncidentHash",
           name="{Description} on {CanaryName} from {SourceIP}; {Description} on {CanaryName}",
           occurred="Timestamp", identity="IncidentHash"),
    Sender("canary-status", "Thinkst Canary, a Canary's state",
           when="CanaryName CanaryID Intro !IncidentHash",
           name="{Description} on {CanaryName}; {Description}: {Intro}", occurred="Timestamp",
           identity="CanaryID", closed="Description=canary reconnected"),
    # SEKOIA ThinkstCanary/thinkst-canary/tests/test_dns_canary_token.json
    Sender("canary-console", "Thinkst Canary, by the console's API",
           when="logtype src_host dst_host description",
           name="{description} from {src_host}; description", occurred="created_std, created",
           identity="id", closed="acknowledged=true"),
    # thinkst/canarytokens canarytokens/channel.py
    Sender("canarytokens", "Canarytokens", when="manage_url memo channel", name="{memo}: {channel}",
           occurred="time", link="manage_url"),
    # SEKOIA Darktrace/darktrace-threat-visualizer/tests/test_aianalyst_2.json and
    # test_simplemodel.json
    Sender("darktrace-ai-analyst", "Darktrace AI Analyst", when="aiaScore summariser title",
           name="title", severity="category", words="suspicious=medium, compliance=low",
           occurred="createdAt", identity="id", link="incidentEventUrl"),
    Sender("darktrace-model-breach", "Darktrace model breach",
           when="pbid model triggeredComponents",
           name="model.name; model.now.name; model.then.name",
           severity="model.category, model.now.category, model.then.category",
           words="suspicious=medium, compliance=low", occurred="time, creationTime",
           identity="pbid", link="breachUrl"),
    # The template of Vectra's JSON messages in splunk/splunk-connect-for-syslog (tests of its
    # Vectra parser)
    Sender("vectra-detect", "Vectra detection", when="d_type_vname dvchost",
           name="{d_type_vname} on {host_name, host_ip}; d_type_vname", occurred="vectra_timestamp",
           identity="detection_id", link="href"),
    # SEKOIA ExtraHop/revealx_360/tests/test_1.json; risk:
    # https://docs.extrahop.com/current/detections-overview/
    Sender("extrahop", "ExtraHop RevealX", when="risk_score participants title mod_time",
           name="title", severity="risk_score", words="80-100=high, 31-79=medium, 1-30=low",
           occurred="mod_time, update_time, start_time", identity="id", closed="status=closed",
           link="url"),
    # telegraf suricata/testdata/v2/alert.json and dns.json; 1 is the most severe.
    Sender("suricata", "Suricata alert", when="flow_id event_type=alert alert.signature !gcenter",
           name="{alert.signature} from {src_ip}", severity="alert.severity",
           words="1=high, 2=medium, 3=low", occurred="timestamp"),
    Sender("suricata-other", "Suricata event",
           when="flow_id event_type src_ip !alert.signature !gcenter",
           name="{event_type} {src_ip} to {dest_ip}", occurred="timestamp"),
    # SEKOIA-docs bba2bed2-d925-440f-a0ce-dbcae04eaf26 (samples); 1 is the most severe.
    Sender("gatewatcher", "Gatewatcher", when="timestamp_detected gcenter severity",
           name="{alert.signature, signature}; {type} {event_type}: {state}; {type} {event_type}",
           severity="severity", words="1=high, 2=medium, 3=low",
           occurred="timestamp_detected, @timestamp", identity="uuid"),
    # content-hub nozomi_networks/resources/run_query_JsonResult_example.json
    Sender("nozomi", "Nozomi Networks", when="id_src id_dst risk type_id",
           name="{name}: {description}; name", occurred="time", identity="id",
           closed="status=closed"),
    # elastic/integrations packages: armis/data_stream/alert, claroty_xdome/data_stream/alert,
    # vectra_rux/data_stream/detection_event (the logs in _dev/test/pipeline)
    Sender("armis", "Armis alert", when="affectedDevicesCount activityUUIDs alertId",
           name="title; policyTitle", severity="severity", occurred="time",
           identity="alertId"),
    Sender("claroty-xdome", "Claroty xDome alert",
           when="alert_info.alert_type_name alert_info.alert_class",
           name="{alert_info.alert_type_name} on {device_name}; alert_info.alert_type_name",
           occurred="alert_info.detected_time", identity="alert_info.id+uid, alert_info.id",
           closed="alert_info.status=resolved"),
    Sender("vectra-platform", "Vectra AI platform detection",
           when="d_type_vname entity_uid detection_id", name="{d_type_vname} on {entity_uid}",
           occurred="event_timestamp", identity="id", link="url"),

    # ---- Cloud and container security

    # SEKOIA Wiz: wiz-issues/tests/gen_event12.json,
    # wiz-cloud-configuration-findings/tests/event4.json,
    # wiz-threat-detections/tests/test_detection_1.json, wiz-audit-logs/tests/update_report.json
    Sender("wiz-issue", "Wiz issue", when="sourceRule entitySnapshot severity", family="wiz",
           name="{sourceRule.name}: {entitySnapshot.name}; sourceRule.name", severity="severity",
           occurred="createdAt", identity="id", closed="status=resolved|rejected"),
    Sender("wiz-finding", "Wiz configuration finding", when="rule.graphId resource analyzedAt",
           name="{rule.name}: {resource.name}; rule.name", severity="severity",
           occurred="analyzedAt, firstSeenAt", identity="id", closed="status=resolved"),
    Sender("wiz-detection", "Wiz threat detection", when="origins actors triggeringEvents severity",
           name="{ruleMatch.rule.name, description, title}", severity="severity",
           occurred="createdAt", identity="id"),
    Sender("wiz-audit", "Wiz audit", when="actionParameters serviceAccount requestId action",
           name="{action} ({status}); action", occurred="timestamp", identity="id"),
    # panther-analysis rules/wiz_rules/wiz_issue_alert_passthrough.yml
    Sender("wiz-issue-webhook", "Wiz issue, by webhook",
           when="issue.severity control.name trigger.ruleName", family="wiz",
           name="{control.name}: {resource.name}; control.name", severity="issue.severity",
           occurred="issue.created, issue.createdAt", identity="issue.id",
           closed="issue.status=resolved|rejected"),
    # panther-analysis rules/orca_rules/orca_passthrough.yml; state.severity has words of Orca's own
    # (hazardous, compromised), risk_level has the usual ones.
    Sender("orca", "Orca Security", when="state.alert_id type_string",
           name="data.title; type_string; description", severity="state.risk_level",
           occurred="state.last_updated, state.created_at", identity="state.alert_id",
           closed="state.status=closed|dismissed"),
    # SEKOIA Lacework/lacework-cloud-security/tests
    Sender("lacework-alert", "FortiCNAPP (Lacework) alert",
           when="alertId alertName alertType startTime", name="alertName", severity="severity",
           occurred="startTime", identity="alertId", closed="status=closed"),
    # The webhook's body in Lacework's descriptions of remediations (event_severity 1 is critical)
    Sender("lacework-webhook", "FortiCNAPP (Lacework), by webhook",
           when="lacework_account event_title", name="event_title", severity="event_severity",
           words="1=critical, 2=high, 3=medium, 4=low, 5=info", occurred="event_timestamp",
           identity="event_id", link="event_link"),
    # falcosecurity/falcosidekick types/types.go
    Sender("falco", "Falco", when="output_fields rule priority",
           name="{rule} in {output_fields.container.name}; {rule} on {hostname}; rule",
           severity="priority", words="alert=critical", occurred="output_fields.evt.time, time"),
    # goharbor/website docs/working-with-projects/project-configuration/configure-webhooks.md
    Sender("harbor", "Harbor scan", when="occur_at event_data operator type=SCANNING*",
           name="Scan of {event_data.resources.0.resource_url}",
           severity="event_data.resources.0.scan_overview.application/"
                    "vnd.security.vulnerability.report; version=1.1.severity, "
                    "event_data.resources.0.scan_overview.application/"
                    "vnd.scanner.adapter.vuln.report.harbor+json; version=1.0.severity",
           occurred="occur_at"),
    Sender("harbor-event", "Harbor event", when="occur_at event_data operator",
           name="{type}: {event_data.resources.0.resource_url, "
                "event_data.repository.repo_full_name}; type",
           occurred="occur_at"),

    # ExabeamLabs/Content-Library-CIM2
    # DS/Palo_Alto_Networks/prisma_cloud/Ps/pC_panprismajsonalerttriggersuccessprismacloud.md
    Sender("prisma-cloud", "Prisma Cloud alert", when="policyName alertId callbackUrl policyId",
           name="{policyName}: {resourceName}; policyName", severity="severity",
           occurred="alertTs, firstSeen", identity="alertId",
           closed="alertStatus=resolved|dismissed", link="callbackUrl"),
    # stackrox/stackrox proto/storage/alert.proto and policy.proto,
    # https://docs.openshift.com/acs/3.67/integration/integrate-using-generic-webhooks.html
    Sender("stackrox", "Red Hat Advanced Cluster Security, StackRox",
           when="alert.policy.name alert.lifecycleStage",
           name="{alert.policy.name} in {alert.deployment.name, alert.resource.name}; "
                "alert.policy.name",
           severity="alert.policy.severity",
           words="critical_severity=critical, high_severity=high, medium_severity=medium, "
                 "low_severity=low",
           occurred="alert.firstOccurred, alert.time", identity="alert.id",
           closed="alert.state=resolved"),
    # elastic/integrations packages/sysdig/_dev/deploy/docker/sample_logs/sysdig.log; severities:
    # sysdiglabs/terraform-provider-sysdig website/docs/r/secure_policy.md
    Sender("sysdig-secure", "Sysdig Secure event",
           when="timestampRFC3339Nano content.ruleName originator",
           name="{content.ruleName} on {labels.host.hostName}; content.ruleName",
           severity="severity", words="0-3=high, 4-5=medium, 6=low, 7=info",
           occurred="timestampRFC3339Nano, timestamp", identity="id"),
    # https://docs.wallarm.com/user-guides/settings/integrations/webhook/
    Sender("wallarm", "Wallarm", when="summary details.notification_type details.client_name",
           name="{summary}: {details.hit.type} on {details.hit.host, details.hit.domain}; summary",
           occurred="details.hit.request_time, details.hit.create_time"),

    # ---- Email and data security

    # SEKOIA ProofPoint: proofpoint-tap/tests/test_click_permitted.json and
    # test_detection_types.json, proofpoint-pod/tests/test_message3.json; a click and its mail share
    # the GUID.
    Sender("proofpoint-tap-click", "Proofpoint TAP click", when="clickTime threatID threatURL",
           name="Click on {classification} {threatStatus}: {url} by {recipient}; Click: {url}",
           occurred="clickTime", identity="id", link="threatURL"),
    Sender("proofpoint-tap-message", "Proofpoint TAP message", when="messageTime threatsInfoMap",
           name="{threatsInfoMap.0.classification} mail: {subject}; subject",
           occurred="messageTime", identity="id, GUID", link="threatsInfoMap.0.threatUrl"),
    Sender("proofpoint-pod", "Proofpoint on Demand", when="guid msg filter ts",
           name="{filter.disposition, filter.actions.0.action}: {msg.normalizedHeader.subject.0, "
                "msg.header.subject.0}; Mail {filter.disposition}",
           occurred="ts", identity="guid"),
    # SEKOIA-docs de9ca004-991e-4f5c-89c5-e075f3fb3216 (samples), the first two; SEKOIA
    # Netskope/netskope_events/tests/test_audit_log_login_failed.json
    Sender("netskope-alert", "Netskope alert", when="alert_type alert_name ccl",
           name="{alert_name}: {activity, action} by {user}; {alert_type}: {alert_name}",
           severity="severity, severity_level", words="med=medium", occurred="timestamp",
           identity="_id"),
    Sender("netskope-event", "Netskope event", when="access_method ccl type",
           name="{alert_name, activity, action} by {user} in {app}; {type} by {user}",
           severity="severity", occurred="timestamp", identity="_id"),
    Sender("netskope-audit", "Netskope audit", when="audit_log_event severity_level",
           name="{audit_log_event} by {user}; audit_log_event", occurred="timestamp",
           identity="_id"),
    # elastic/integrations packages: abnormal_security/data_stream/threat,
    # sublime_security/data_stream/message_event, ironscales/data_stream/incident (the logs in
    # _dev/test/pipeline). Several rules of Sublime that flag a message have severities of their
    # own.
    Sender("abnormal", "Abnormal AI threat", when="abxMessageId threatId",
           name="{attackType}: {subject}; attackType", occurred="receivedTime, sentTime",
           identity="abxMessageIdStr, abxMessageId", link="abxPortalUrl"),
    Sender("sublime-rule", "Sublime Security: one rule",
           when="type=message.flagged data.flagged_rules !data.flagged_rules.1", family="sublime",
           name="{data.flagged_rules.0.name}: {data.message.subject}; data.flagged_rules.0.name",
           severity="data.flagged_rules.0.severity", occurred="created_at",
           identity="data.message.id"),
    Sender("sublime", "Sublime Security: several rules",
           when="type=message.flagged data.flagged_rules.1", family="sublime",
           name="{data.flagged_rules.0.name}, {data.flagged_rules.1.name}", occurred="created_at",
           identity="data.message.id"),
    Sender("ironscales", "IRONSCALES incident", when="incidentID emailSubject senderEmail",
           name="{classification}: {emailSubject}; emailSubject", occurred="created",
           identity="incidentID"),

    # ---- Code and application security

    # go-playground/webhooks testdata/github: dependabot_alert.json, code_scanning_alert.json,
    # security-advisory.json; secret scanning: panther-analysis
    # global_helpers/panther_github_helpers.py
    Sender("github-dependabot", "GitHub Dependabot alert",
           when="header:x-github-event=dependabot_alert alert", family="github-alert",
           name="{repository.full_name}: {alert.security_advisory.summary}",
           severity="alert.security_advisory.severity",
           occurred="alert.created_at, alert.updated_at", identity="alert.html_url, alert.url",
           closed="alert.state=fixed|dismissed|auto_dismissed", link="alert.html_url"),
    Sender("github-code-scanning", "GitHub code scanning alert",
           when="header:x-github-event=code_scanning_alert alert", family="github-alert",
           name="{repository.full_name}: {alert.rule.description}",
           severity="alert.rule.security_severity_level, alert.rule.severity", words="note=low",
           occurred="alert.created_at, alert.updated_at", identity="alert.html_url, alert.url",
           closed="action=fixed|closed_by_user; alert.state=fixed|dismissed",
           link="alert.html_url"),
    Sender("github-secret-scanning", "GitHub secret scanning alert",
           when="header:x-github-event=secret_scanning_alert alert", family="github-alert",
           name="{alert.secret_type_display_name, alert.secret_type} in {repository.full_name}",
           occurred="alert.created_at, alert.updated_at", identity="alert.html_url, alert.url",
           closed="action=resolved; alert.state=resolved", link="alert.html_url"),
    Sender("github-security-advisory", "GitHub security advisory",
           when="security_advisory.ghsa_id action", name="security_advisory.summary",
           severity="security_advisory.severity",
           occurred="security_advisory.updated_at, security_advisory.published_at",
           identity="security_advisory.ghsa_id", closed="action=withdrawn",
           link="security_advisory.html_url"),
    # octokit/webhooks payload-examples; go-playground/webhooks github/payload.go
    Sender("github-issue", "GitHub issue",
           when="header:x-github-event=issues issue !header:x-gitea-event", family="github",
           name="{repository.full_name}#{issue.number} {issue.title}", occurred="issue.updated_at",
           identity="issue.html_url", closed="action=closed|deleted|transferred",
           link="issue.html_url"),
    Sender("github-pull-request", "GitHub pull request",
           when="header:x-github-event=pull_request pull_request !header:x-gitea-event",
           family="github",
           name="{repository.full_name}#{pull_request.number} {pull_request.title}",
           occurred="pull_request.updated_at", identity="pull_request.html_url",
           closed="action=closed", link="pull_request.html_url"),
    Sender("github", "GitHub",
           when="header:x-github-event sender !security_advisory !header:x-gitea-event",
           name="{headers.x-github-event} {action}: {issue.title, pull_request.title, "
                "discussion.title, release.name, check_run.name, workflow_run.name, "
                "workflow_job.name, milestone.title, label.name, project.name, project_card.note, "
                "package.name, installation.account.login, team.name, membership.user.login, "
                "member.login}; {headers.x-github-event} {action} in {repository.full_name, "
                "organization.login, sender.login}; {headers.x-github-event} to "
                "{repository.full_name, organization.login}",
           severity="alert.severity",
           occurred="alert.updated_at, alert.created_at, head_commit.timestamp, "
                    "comment.updated_at, issue.updated_at, pull_request.updated_at, "
                    "discussion.updated_at, workflow_run.updated_at, check_run.started_at, "
                    "release.created_at, repository.pushed_at",
           link="alert.html_url, comment.html_url, workflow_run.html_url, check_run.html_url, "
                "release.html_url, issue.html_url, pull_request.html_url, discussion.html_url, "
                "compare, repository.html_url"),
    # go-playground/webhooks gitlab/payload.go; go-scm gitlab/webhook.go
    Sender("gitlab", "GitLab", when="header:x-gitlab-event object_kind", family="gitlab",
           name="{project.path_with_namespace}#{object_attributes.iid} {object_attributes.title}; "
                "object_attributes.title; {object_kind} in {project.path_with_namespace, "
                "project.name} by {user_name, user.name, user_username}; {object_kind} in "
                "{project.path_with_namespace, repository.name, project_name}",
           severity="object_attributes.severity",
           occurred="object_attributes.updated_at, object_attributes.created_at",
           identity="object_attributes.url",
           closed="object_attributes.state=closed|merged|resolved|dismissed",
           link="object_attributes.url, project.web_url"),
    Sender("gitlab-body", "GitLab, without its header",
           when="object_kind project.path_with_namespace", family="gitlab",
           name="{project.path_with_namespace}#{object_attributes.iid} {object_attributes.title}; "
                "object_attributes.title; {object_kind} in {project.path_with_namespace} by "
                "{user_name, user.name, user_username}; {object_kind} in "
                "{project.path_with_namespace}",
           severity="object_attributes.severity",
           occurred="object_attributes.updated_at, object_attributes.created_at",
           identity="object_attributes.url",
           closed="object_attributes.state=closed|merged|resolved|dismissed",
           link="object_attributes.url, project.web_url"),
    # https://docs.gitguardian.com/platform/monitor-perimeter/notifiers-integrations/custom-webhook
    Sender("gitguardian", "GitGuardian", when="incident.gitguardian_url incident.detector",
           name="{incident.detector.display_name, incident.detector.name}: {message}; "
                "{incident.detector.display_name, incident.detector.name} in "
                "{occurrence.source.full_name}; incident.detector.display_name",
           severity="incident.severity", occurred="timestamp, incident.date",
           identity="incident.id", closed="incident.status=resolved|ignored",
           link="incident.gitguardian_url"),
    # https://docs.snyk.io/snyk-api/snyk-webhooks/webhooks
    Sender("snyk", "Snyk", when="newIssues project", events="newIssues",
           name="{issueData.title} in {pkgName} ({parent.project.name}); issueData.title",
           severity="issueData.severity", occurred="issueData.publicationTime",
           identity="parent.project.id+id", link="issueData.url"),
    # https://docs.sonarsource.com/sonarqube-server/discovering/integrations/webhooks
    Sender("sonarqube", "SonarQube", when="qualityGate project taskId",
           name="{project.name}: quality gate {qualityGate.status}", severity="qualityGate.status",
           occurred="analysedAt", identity="project.key+branch.name, project.key",
           closed="qualityGate.status=ok", link="branch.url, project.url"),
    # DependencyTrack/dependency-track notification publishing templates (default-template.peb)
    Sender("dependency-track", "OWASP Dependency-Track",
           when="notification.group notification.scope notification.level",
           name="{notification.title}: {notification.subject.component.name} "
                "{notification.subject.vulnerability.vulnId}; {notification.title}: "
                "{notification.subject.project.name}; notification.title",
           severity="notification.subject.vulnerability.severity",
           occurred="notification.timestamp"),
    # The webhook's body in JFrog's description of Xray's REST API
    Sender("xray", "JFrog Xray", when="watch_name top_severity issues",
           name="{watch_name}: {issues.0.summary}; {watch_name}: {policy_name}; watch_name",
           severity="top_severity", occurred="created"),

    # https://api.hackerone.com/webhooks
    Sender("hackerone", "HackerOne", when="data.activity.attributes data.report.attributes.title",
           name="{data.report.attributes.title} ({data.activity.type}); "
                "data.report.attributes.title",
           severity="data.report.relationships.severity.data.attributes.rating",
           occurred="data.activity.attributes.created_at, data.report.attributes.created_at",
           identity="data.report.id",
           closed="data.report.attributes.state=resolved|informative|duplicate|spam|"
                  "not-applicable"),
    # semgrep/semgrep-docs docs/semgrep-appsec-platform/webhooks.md, both rows; what its numbers
    # mean is not documented there.
    Sender("semgrep-finding", "Semgrep finding", when="semgrep_finding.check_id",
           name="{semgrep_finding.check_id} in {semgrep_finding.path}: {semgrep_finding.message}; "
                "{semgrep_finding.check_id} in {semgrep_finding.path}; semgrep_finding.check_id",
           occurred="semgrep_finding.commit_date", identity="semgrep_finding.id"),
    Sender("semgrep-scan", "Semgrep scan", when="semgrep_scan.deployment_id",
           name="Scan of {semgrep_scan.repository} {semgrep_scan.branch}; Scan "
                "{semgrep_scan.id}",
           occurred="semgrep_scan.completed_at, semgrep_scan.started_at",
           identity="semgrep_scan.id", link="semgrep_scan.ci_job_url"),
    # https://raw.githubusercontent.com/trufflesecurity/trufflehog/main/README.md
    Sender("trufflehog", "TruffleHog", when="SourceMetadata DetectorName",
           name="{DetectorName} secret in {SourceMetadata.Data.Git.repository, SourceName}; "
                "{DetectorName} secret",
           occurred="SourceMetadata.Data.Git.timestamp"),
    # https://docs.stepsecurity.io/administration/admin-console/integrations/sample-detection-events
    Sender("stepsecurity", "StepSecurity", when="incident_start_time incident_url ecosystem",
           name="title; description", severity="severity", occurred="incident_start_time",
           identity="id", link="incident_url"),
    # https://pentest-tools.com/docs/capabilities/integrations/webhooks
    Sender("pentest-tools", "Pentest-Tools.com scan", when="task_id tool target status",
           name="{tool} of {target}: {status}", occurred="end_time, start_time",
           identity="task_id"),

    # ---- Threat intelligence, exposure

    # MISP/PyMISP tests/new_misp_event.json; levels 1 high to 4 undefined
    Sender("misp", "MISP event", when="Event.uuid Event.info Event.threat_level_id",
           name="Event.info", severity="Event.threat_level_id",
           words="1=high, 2=medium, 3=low, 4=unknown",
           occurred="Event.timestamp, Event.publish_timestamp", identity="Event.uuid"),
    Sender("misp-attribute", "MISP attribute", when="Attribute.uuid Attribute.value",
           name="{Attribute.type}: {Attribute.value}", occurred="Attribute.timestamp",
           identity="Attribute.uuid"),
    # content-hub third_party/partner/socradar_xti/resources/GetAlarmDetails_JsonResult_example.json
    Sender("socradar", "SOCRadar", when="alarm_id alarm_risk_level alarm_text",
           name="{alarm_type_details.alarm_sub_type, alarm_type_details.alarm_main_type}: "
                "{alarm_text}; alarm_text",
           severity="alarm_risk_level", occurred="date", identity="alarm_id",
           closed="status=closed|resolved"),
    # SEKOIA Digital Shadows/digital_shadows_searchlight/tests/searchlight_alerts.json
    Sender("digital-shadows", "ReliaQuest GreyMatter DRP (Digital Shadows)",
           when="portal-id classification", name="title", severity="risk-assessment.risk-level",
           occurred="raised", identity="id"),
    # SEKOIA SecurityScorecard/vulnerability_assessment_scanner/tests/issue_event_01.json
    Sender("securityscorecard", "SecurityScorecard", when="trigger.type scorecard_id",
           name="{trigger.type}: {domain}; trigger.type", severity="trigger.severity",
           occurred="created_at", identity="execution_id"),
    # SEKOIA Bitsight/security-performance-management/tests/test_event_4.json
    Sender("bitsight", "Bitsight", when="risk_vector severity_category",
           name="{risk_vector_label, risk_vector}: {evidence_key}; risk_vector_label",
           severity="severity_category",
           words="minor=low, moderate=medium, material=high, severe=critical", occurred="last_seen",
           identity="temporary_id"),
    # https://help.shodan.io/developer-fundamentals/monitor-webhooks;
    # mikoiv/AzureSentinel-ShodanMonitor
    Sender("shodan", "Shodan Monitor", when="header:shodan-alert-trigger",
           name="{headers.shodan-alert-name}: {headers.shodan-alert-trigger} on {ip_str}; "
                "{headers.shodan-alert-name}: {headers.shodan-alert-trigger}; "
                "headers.shodan-alert-trigger",
           occurred="timestamp"),
    # elastic/integrations packages/tenable_io/data_stream/vulnerability/_dev/test/pipeline/
    # test-vulnerability.log
    Sender("tenable-vulnerability", "Tenable vulnerability",
           when="plugin.family_id asset severity_default_id",
           name="{plugin.name} on {asset.hostname, asset.fqdn, asset.ipv4}; plugin.name",
           severity="severity", occurred="first_found, last_found",
           identity="finding_id, asset.uuid+plugin.id+port.port+port.protocol",
           closed="state=fixed"),

    # ---- Mobile, network, SASE

    # meraki/webhook-payload-templates meraki/readme.md and webex/readme.md
    Sender("cisco-meraki", "Cisco Meraki", when="alertTypeId organizationId networkId",
           family="cisco-meraki",
           name="{alertType}: {deviceName} ({networkName}); {alertType}: {deviceName, "
                "networkName}; alertType",
           severity="alertLevel", occurred="occurredAt", identity="alertId",
           link="deviceUrl, networkUrl"),
    Sender("cisco-meraki-short", "Cisco Meraki, without a type",
           when="alertType organizationId networkId !alertTypeId", family="cisco-meraki",
           name="{alertType}: {deviceName, networkName}; alertType", severity="alertLevel",
           occurred="occurredAt", identity="alertId", link="deviceUrl, networkUrl"),
    # keep thousandeyes_provider/alerts_mock.py
    Sender("cisco-thousandeyes", "Cisco ThousandEyes",
           when="eventType=ALERT_NOTIFICATION* alert.ruleName",
           name="{alert.ruleName}: {alert.testName, alert.agentName, alert.hostname}; "
                "alert.ruleName",
           severity="alert.severity", occurred="alert.dateStartZoned, alert.dateStart",
           identity="alert.alertId", closed="eventType=alert_notification_clear",
           link="alert.permalink"),
    # SEKOIA Checkpoint/checkpoint_harmony_mobile/tests/test_event_3.json
    Sender("checkpoint-mobile", "Check Point Harmony Mobile",
           when="attack_vector device_rooted event_timestamp",
           name="{threat_factors}: {details}; details; event", severity="severity", identity="id"),
    # SEKOIA-docs e6b9c357-7a55-4c9d-8898-ab6112dd52c3; SEKOIA
    # Lookout/lookout-mes/tests/test_audit_purge_event.json
    Sender("lookout", "Lookout threat", when="enterprise_guid change_type threat",
           name="{threat.type} {threat.classifications.0} {change_type}: "
                "{threat.details.application_name, threat.details.package_name, threat.action}; "
                "{threat.type} {change_type}; {type} {change_type}",
           severity="threat.severity", occurred="created_time", identity="threat.guid",
           closed="threat.status=resolved"),
    Sender("lookout-device", "Lookout device and audit", when="enterprise_guid change_type",
           name="{type} {change_type}: {device.email, actor.email, audit.type}; {type} "
                "{change_type}",
           occurred="created_time", identity="id"),
    # SEKOIA-docs 903ec1b8-f206-4ba5-8563-db21da09cafd (samples)
    Sender("paloalto-cdl", "Palo Alto Networks firewall (Strata Logging Service)",
           when="DeviceSN LogType TimeGenerated",
           name="{ThreatName, ThreatNameFirewall, Rule, ThreatCategory} from {SourceAddress, "
                "SourceIP}: {Action}; {LogType} {Subtype, SubType}: {EventName, EventDescription, "
                "Description}; {LogType} {Subtype, SubType} from {SourceAddress}; {LogType} "
                "{Subtype, SubType}",
           severity="VendorSeverity, Severity", occurred="TimeGenerated, TimeReceived"),
    # content-hub
    # palo_alto_panorama/resources/get_correlated_traffic_between_i_ps_JsonResult_example.json
    Sender("paloalto-http", "Palo Alto Networks firewall, by HTTP",
           when="serial seqno threatid src", name="{threatid} from {src}", severity="severity",
           occurred="receive_time, time_generated"),
    # SEKOIA CatoNetworks/cato-sase/tests/cato_sase_antimalware_events.json
    Sender("cato", "Cato Networks", when="event_type event_sub_type account_id",
           name="{threat_name}: {action}; {event_type} {event_sub_type}: {action}; {event_type} "
                "{event_sub_type}",
           severity="risk_level, severity", occurred="event_time, time, event_timestamp",
           identity="internalId"),
    # SEKOIA Zscaler/zscaler-zia/tests/test_event_web.json and test_event_audit2.json
    Sender("zscaler-zia", "Zscaler Internet Access", when="sourcetype=zscalernss* event",
           name="{event.action, event.reason}: {event.url, event.hostname}; {event.action, "
                "sourcetype}",
           occurred="event.datetime, event.epochtime"),
    Sender("zscaler-audit", "Zscaler audit", when="sourcetype=zscalernss-audit event",
           name="{event.category} {event.action} {event.resource} by {event.adminid}; "
                "{event.category} {event.action}",
           occurred="event.time", identity="event.recordid"),
    # pagertree cloudflare/v3_test.rb
    Sender("cloudflare-notification", "Cloudflare notification", when="alert_type policy_id text",
           name="text; name", severity="data.severity", occurred="ts",
           identity="alert_correlation_id", closed="alert_event=alert_state_event_end"),
    # SEKOIA Cloudflare/access_requests/tests/test_1.json and firewall_events/tests/block.json
    Sender("cloudflare-audit", "Cloudflare audit", when="ActionType ActorEmail When",
           name="{ActionType} by {ActorEmail}", occurred="When", identity="ID"),
    Sender("cloudflare-firewall", "Cloudflare firewall event", when="RayID Action RuleID ClientIP",
           name="{Action} by {Source} rule {RuleID}: {ClientRequestHost}; {Action} by rule "
                "{RuleID}",
           occurred="Datetime", identity="RayID+RuleID"),
    # SEKOIA Fastly/fastly-waf-auditlogs/tests/test_site_audit_log_1.json
    Sender("fastly-ngwaf-audit", "Fastly Next-Gen WAF audit", when="eventType msgData created",
           name="message; eventType", occurred="created", identity="id"),
    # SEKOIA Akamai/akamai-waf/tests/test_3.json
    Sender("akamai-siem", "Akamai App & API Protector", when="attackData httpMessage",
           name="WAF {attackData.rules.0.ruleAction, attackData.appliedAction}: "
                "{attackData.rules.0.ruleMessage, attackData.ruleMessages}; WAF event on "
                "{httpMessage.host}",
           occurred="httpMessage.start", identity="httpMessage.requestId"),
    # SEKOIA AWS/aws-waf/tests/allow1.json
    Sender("aws-waf", "AWS WAF", when="webaclId terminatingRuleId",
           name="{action} by rule {terminatingRuleId}: {httpRequest.uri}; {action} by rule "
                "{terminatingRuleId}",
           occurred="timestamp", identity="httpRequest.requestId"),
    # SEKOIA Datadome/datadome-protection/tests
    Sender("datadome", "DataDome", when="threatName endpointName startDateTime",
           name="{threatName} on {endpointName}", occurred="startDateTime"),
    # SEKOIA Ubika/ubika_waap/tests/test_bot_mitigation_event.json
    Sender("ubika-waap", "UBIKA WAAP", when="request.hostname events.0.eventUid logAlertUid",
           name="{events.0.tokens.reason, events.0.tokens.attackFamily} on {request.hostname}; "
                "{events.0.tokens.reason, events.0.eventUid}",
           occurred="timestamp", identity="logAlertUid"),
    # https://tailscale.com/kb/1213/webhooks (an array of events)
    Sender("tailscale", "Tailscale", when="tailnet type version message", name="message",
           occurred="timestamp", link="data.url"),

    # ---- On-call, cases, tickets

    # PagerDuty/developer-docs docs/webhooks/01-Overview.md, 09-V2-Overview.md and 10-V1-Overview.md
    Sender("pagerduty-v3", "PagerDuty",
           when="event.event_type event.resource_type event.occurred_at", family="pagerduty",
           name="{event.data.title}; {event.event_type}: {event.data.incident.summary, "
                "event.data.summary}; event.event_type",
           severity="event.data.priority.summary, event.data.urgency", occurred="event.occurred_at",
           identity="event.data.incident.id, event.data.id",
           closed="event.event_type=incident.resolved",
           link="event.data.html_url, event.data.incident.html_url"),
    # https://docs.rootly.com/configuration/webhooks
    Sender("rootly", "Rootly", when="event.issued_at event.type data.id",
           name="data.title; event.type",
           severity="data.severity.severity, data.severity.name, data.severity",
           occurred="data.started_at, data.created_at, event.issued_at", identity="data.id",
           closed="data.status=resolved|closed|cancelled", link="data.url"),
    # https://api-docs.incident.io/tag/Webhooks/
    Sender("incident-io", "incident.io incident", when="event_type=public_incident.*",
           name="{public_incident.incident_created_v2.reference, "
                "public_incident.incident_updated_v2.reference, "
                "public_incident.incident_status_updated_v2.incident.reference} "
                "{public_incident.incident_created_v2.name, "
                "public_incident.incident_updated_v2.name, "
                "public_incident.incident_status_updated_v2.incident.name}; event_type",
           severity="public_incident.incident_created_v2.severity.name, "
                    "public_incident.incident_updated_v2.severity.name, "
                    "public_incident.incident_status_updated_v2.incident.severity.name",
           occurred="public_incident.incident_created_v2.created_at, "
                    "public_incident.incident_updated_v2.updated_at, "
                    "public_incident.incident_status_updated_v2.incident.updated_at",
           identity="public_incident.incident_created_v2.id, "
                    "public_incident.incident_updated_v2.id, "
                    "public_incident.incident_status_updated_v2.incident.id",
           closed="public_incident.incident_updated_v2.incident_status.category=closed; "
                  "public_incident.incident_status_updated_v2.new_status.category=closed",
           link="public_incident.incident_created_v2.permalink, "
                "public_incident.incident_updated_v2.permalink, "
                "public_incident.incident_status_updated_v2.incident.permalink"),
    # PagerDuty, https://developer.pagerduty.com/docs/webhooks-overview
    Sender("pagerduty-v2", "PagerDuty, version 2", when="messages.0.event messages.0.incident",
           events="messages", family="pagerduty", name="incident.title; incident.summary",
           severity="incident.urgency", occurred="created_on", identity="incident.id",
           closed="event=incident.resolve", link="incident.html_url"),
    Sender("pagerduty-v1", "PagerDuty, version 1", when="messages.0.type messages.0.data.incident",
           events="messages", family="pagerduty",
           name="data.incident.trigger_summary_data.subject; "
                "data.incident.trigger_summary_data.description; Incident "
                "{data.incident.incident_number}: {type}",
           occurred="created_on", identity="data.incident.id", closed="type=incident.resolve",
           link="data.incident.html_url"),
    # api-evangelist/opsgenie asyncapi/opsgenie-webhook-asyncapi.yml
    Sender("opsgenie", "Opsgenie", when="action alert.alertId", name="alert.message",
           severity="alert.priority", occurred="alert.createdAt", identity="alert.alertId",
           closed="action=close|delete"),
    # mattermost/mattermost-plugin-jira server/testdata
    Sender("jira", "Jira", when="webhookEvent issue", name="{issue.key} {issue.fields.summary}",
           severity="issue.fields.priority.name",
           words="highest=critical, blocker=critical, lowest=info", occurred="timestamp",
           identity="issue.id",
           closed="issue.fields.status.statusCategory.key=done; issue.fields.status.name=done|"
                  "resolved|closed"),
    # keep servicenow_provider/servicenow_provider.py: the names of the table's columns; which of
    # them a business rule sends is the administrator's choice.
    Sender("servicenow", "ServiceNow", when="sys_id short_description",
           name="{number} {short_description}; short_description", severity="severity, priority",
           words="1 - critical=critical, 2 - high=high, 3 - moderate=medium, 4 - low=low, 5 - "
                 "planning=info, 1 - high=high, 2 - medium=medium, 3 - low=low, 1=critical, "
                 "2=high, 3=medium, 4=low, 5=info",
           occurred="sys_created_on, opened_at", identity="sys_id",
           closed="state=resolved|closed|canceled|6|7|8; incident_state=resolved|closed|6|7|8"),
    # StrangeBeeCorp/docs docs/thehive/user-guides/organization/about-audit-logs.md; severities 1 to
    # 4
    Sender("thehive-5", "TheHive 5", when="objectType action objectId object details",
           family="thehive",
           name="#{object.number} {object.title}; {object.title}; {objectType} {action}",
           severity="object.severity", words="1=low, 2=medium, 3=high, 4=critical",
           occurred="object._createdAt, object.date", identity="rootId, objectId",
           closed="object.stage=closed"),
    Sender("thehive-3", "TheHive 3 and 4", when="objectType operation objectId object",
           family="thehive",
           name="#{object.caseId} {object.title}; {object.title}; {objectType} {operation}",
           severity="object.severity", words="1=low, 2=medium, 3=high, 4=critical",
           occurred="startDate, object.startDate, object.createdAt", identity="rootId, objectId",
           closed="object.status=resolved|closed|deleted"),
    # https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/
    Sender("zendesk", "Zendesk ticket", when="detail subject type=zen:event-type:ticket*",
           name="{detail.subject}; {subject}", severity="detail.priority",
           words="urgent=critical, normal=medium", occurred="time", identity="detail.id",
           closed="detail.status=solved|closed"),
    # pagertree zendesk/v3_test.rb: the placeholders that Zendesk suggests for a trigger's body
    Sender("zendesk-trigger", "Zendesk trigger", when="ticket_type priority status title",
           name="title", severity="priority", words="urgent=critical, normal=medium", identity="id",
           closed="status=solved|closed", link="link"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/freshdesk/v3.rb; the
    # ticket's numbers:
    # https://developers.freshdesk.com/api/#ticket_attributes
    Sender("freshworks", "Freshdesk, Freshservice", when="freshdesk_webhook",
           name="freshdesk_webhook.ticket_subject", severity="freshdesk_webhook.ticket_priority",
           words="4=critical, 3=high, 2=medium, 1=low, urgent=critical",
           identity="freshdesk_webhook.ticket_id",
           closed="freshdesk_webhook.ticket_status=4|5|resolved|closed",
           link="freshdesk_webhook.ticket_url"),
    # https://support.atlassian.com/statuspage/docs/enable-webhook-notifications/ and
    # https://instatus.com/help/webhooks (the same shape)
    Sender("statuspage", "Statuspage incident", when="incident.impact page meta",
           name="incident.name", severity="incident.impact", occurred="incident.created_at",
           identity="incident.id", closed="incident.status=resolved|postmortem|completed",
           link="incident.shortlink"),
    Sender("statuspage-component", "Statuspage component", when="component_update component page",
           name="{component.name} is {component_update.new_status}",
           severity="component_update.new_status",
           words="operational=info, degraded_performance=low, partial_outage=medium, "
                 "major_outage=high, under_maintenance=info",
           occurred="component_update.created_at", identity="component.id",
           closed="component_update.new_status=operational"),
    # pagertree status_gator/v3_test.rb
    Sender("statusgator", "StatusGator", when="monitor.display_name board previous_status",
           name="{monitor.display_name}: {message}; message",
           occurred="last_message_at, recorded_at", identity="monitor.id", closed="status=up"),
    # What monitoring tools send to PagerDuty, and to others in the same form:
    # prometheus/alertmanager notify/pagerduty/pagerduty.go, and for version 1 also
    # https://docs.ansible.com/ansible/2.7/modules/pagerduty_alert_module.html
    Sender("pagerduty-event", "PagerDuty event (any sender)", when="event_action payload.summary",
           family="pagerduty-event", name="payload.summary", severity="payload.severity",
           occurred="payload.timestamp", identity="dedup_key", closed="event_action=resolve",
           link="client_url"),
    Sender("pagerduty-event-end", "PagerDuty event without content (any sender)",
           when="event_action dedup_key !payload", family="pagerduty-event",
           name="{event_action}: {dedup_key}", identity="dedup_key",
           closed="event_action=resolve"),
    Sender("pagerduty-event-v1", "PagerDuty event of version 1 (any sender)",
           when="service_key event_type incident_key", name="{description}; {event_type}: "
                                                            "{incident_key}",
           identity="incident_key", closed="event_type=resolve", link="client_url"),
    # What monitoring tools send to Splunk On-Call, formerly VictorOps:
    # https://docs.saltproject.io/en/3006/ref/states/all/salt.states.victorops.html
    Sender("victorops-event", "Splunk On-Call event (any sender)", when="message_type entity_id",
           name="{entity_display_name, entity_id}: {state_message}; {entity_display_name, "
                "entity_id} {message_type}",
           severity="message_type", occurred="state_start_time, timestamp", identity="entity_id",
           closed="message_type=recovery"),
    # grafana/oncall docs/sources/configure/outgoing-webhooks/index.md
    Sender("grafana-oncall", "Grafana OnCall alert group",
           when="alert_group_id alert_group.alerts_count alert_payload",
           name="alert_group.title; {event.type} {alert_group_id}",
           occurred="alert_group.created_at, event.time", identity="alert_group_id",
           closed="alert_group.state=resolved", link="alert_group.permalinks.web"),

    # ---- Monitoring

    # prometheus/alertmanager docs/configuration.md (webhook_config); pagertree
    # prometheus/v3_test.rb
    Sender("alertmanager", "Prometheus Alertmanager, Grafana Alerting",
           when="alerts groupLabels receiver", events="alerts", family="alertmanager",
           name="{labels.alertname}: {annotations.summary, annotations.title, annotations.message, "
                "annotations.description}; labels.alertname; annotations.summary; "
                "annotations.description",
           severity="labels.severity, labels.priority", words="page=critical", occurred="startsAt",
           identity="fingerprint, labels.alertname+labels.instance", closed="status=resolved",
           fixed_start=True,
           link="panelURL, dashboardURL, generatorURL"),
    Sender("alertmanager-v3", "Prometheus Alertmanager, without a receiver",
           when="alerts groupLabels !receiver", events="alerts", family="alertmanager",
           name="{labels.alertname}: {annotations.summary, annotations.description}; "
                "labels.alertname",
           severity="labels.severity", words="page=critical", occurred="startsAt",
           identity="fingerprint, labels.alertname+labels.instance", closed="status=resolved",
           fixed_start=True,
           link="generatorURL"),
    # target/goalert test/smoke/grafana_test.go
    Sender("grafana-legacy", "Grafana, legacy alerting", when="ruleId ruleUrl state",
           name="title; ruleName", identity="ruleId", closed="state=ok|paused", link="ruleUrl"),
    # https://docs.datadoghq.com/integrations/ilert/ (a body with the usual variables)
    Sender("datadog", "Datadog", when="last_updated event_type org.id", family="datadog",
           name="title", severity="alert_priority, priority", words="normal=unknown, low=unknown",
           occurred="date, last_updated",
           identity="alert_cycle_key, aggreg_key, alert_id+alert_scope, id",
           closed="alert_transition=recovered; transition=recovered; title=[recovered*",
           link="link, event_url"),
    # pagertree datadog/v3_test.rb: a body of all variables under their own names
    Sender("datadog-custom", "Datadog, all variables", when="ALERT_ID ALERT_TRANSITION",
           family="datadog", name="ALERT_TITLE; EVENT_TITLE", severity="ALERT_PRIORITY, PRIORITY",
           words="normal=unknown, low=unknown", occurred="DATE, LAST_UPDATED",
           identity="ALERT_CYCLE_KEY, AGGREG_KEY, ALERT_ID", closed="ALERT_TRANSITION=recovered",
           link="LINK"),
    # SEKOIA-IO/documentation docs/integration/categories/applicative/newrelic_alerts.md
    Sender("newrelic-issue", "New Relic issue", when="issueUrl title priority", name="title",
           severity="priority", occurred="createdAt, updatedAt", identity="issueId, id",
           closed="state=closed", link="issueUrl"),
    # pagertree new_relic/v3_test.rb
    Sender("newrelic-legacy", "New Relic, legacy", when="incident_id condition_name policy_name",
           name="{condition_name}: {details}; condition_name", severity="severity, priority",
           occurred="timestamp", identity="incident_id",
           closed="current_state=closed; event_type=incident_resolved", link="incident_url"),
    # pagertree dynatrace/v3_test.rb
    Sender("dynatrace", "Dynatrace", when="ProblemID ProblemTitle State",
           name="{ProblemID} {ProblemTitle}", severity="ProblemSeverity",
           words="availability=critical, monitoring_unavailable=critical, error=high, "
                 "performance=medium, resource_contention=medium, custom_alert=low",
           identity="PID, ProblemID", closed="State=resolved|closed|merged", link="ProblemURL"),
    # pagertree app_dynamics/v3_test.rb
    Sender("appdynamics", "AppDynamics", when="latestEvent.displayName",
           name="{latestEvent.displayName}: {latestEvent.summaryMessage}; latestEvent.displayName",
           severity="latestEvent.severity", occurred="latestEvent.eventTime",
           identity="latestEvent.guid", link="latestEvent.deepLink"),
    # zabbix/zabbix templates/media (names of the parameters); pagertree zabbix/v3_test.rb; a
    # recovery has the id of the event that it ends.
    Sender("zabbix", "Zabbix", when="event_id event_value event_severity", family="zabbix",
           name="{event_name, event_subject, title, alert_subject, trigger_name}",
           severity="event_nseverity, event_severity",
           words="5=critical, 4=high, 3=medium, 2=medium, 1=info, 0=unknown, not "
                 "classified=unknown",
           occurred="event_timestamp", identity="event_id", closed="event_value=0",
           link="event_url"),
    Sender("zabbix-n", "Zabbix, severities as numbers",
           when="event_id event_value event_nseverity !event_severity", family="zabbix",
           name="{title, event_name, event_subject, alert_subject, trigger_name}",
           severity="event_nseverity",
           words="5=critical, 4=high, 3=medium, 2=medium, 1=info, 0=unknown",
           occurred="event_timestamp", identity="event_id", closed="event_value=0",
           link="event_url"),
    # oncall zabbix.py
    Sender("zabbix-oncall", "Zabbix, by Grafana OnCall's script",
           when="alert_uid title state link_to_upstream_details", name="title",
           identity="alert_uid", closed="state=ok", link="link_to_upstream_details"),
    # keep checkmk_provider/webhook-keep.py
    Sender("checkmk", "Checkmk", when="notification_type summary what host", name="summary",
           severity="severity", words="up=info, down=critical, unreachable=high",
           occurred="long_date_time, short_date_time", identity="host+service, host",
           closed="notification_type=recovery", link="url"),
    # https://docs.checkmk.com/latest/en/notifications.html (variables without NOTIFY_); the
    # MICROTIME counts microseconds.
    Sender("checkmk-raw", "Checkmk, Nagios: all variables", when="NOTIFICATIONTYPE HOSTNAME",
           name="{HOSTNAME} {SERVICEDESC}: {SERVICEOUTPUT}; {HOSTNAME} is {HOSTSTATE}: "
                "{HOSTOUTPUT}; {HOSTNAME} {NOTIFICATIONTYPE}",
           severity="SERVICESTATE, HOSTSTATE", words="down=critical, unreachable=high, up=info",
           occurred="MICROTIME, SHORTDATETIME", identity="HOSTNAME+SERVICEDESC, HOSTNAME",
           closed="NOTIFICATIONTYPE=recovery"),
    # pagertree prtg/v3_test.rb (sensorid, status, name, message; the rest is what the administrator
    # types)
    Sender("prtg", "PRTG", when="sensorid status",
           name="{device} {sensor, name}: {status}; {name, sensor}: {status}", occurred="datetime",
           identity="sensorid", closed="status=up*|down ended*", link="linksensor"),
    # pagertree solar_winds/v3_test.rb
    Sender("solarwinds", "SolarWinds", when="ActionType AlertID NodeName",
           name="{AlertMessage, AlertDescription}", severity="Severity",
           occurred="AlertTriggerTime", identity="AlertID", closed="ActionType=resolve|reset"),
    # pagertree scom/v3_test.rb; severities: 0 information, 1 warning, 2 critical
    Sender("scom", "Microsoft SCOM", when="resolutionState workflowId alertName",
           name="{alertName}: {managedEntitySource}; alertName", severity="severity",
           words="2=critical, 1=medium, 0=info", occurred="timeRaised", identity="alertId",
           closed="resolutionState=closed|255"),
    # pagertree logic_monitor/v3_test.rb
    Sender("logicmonitor", "LogicMonitor", when="alertid alertstatus host",
           name="{eventmsg, message, datapointdesc}; {datasource} on {host}", severity="level",
           occurred="date", identity="internalid, alertid", closed="alertstatus=clear|cleared",
           link="url"),
    # pagertree auvik/v3_test.rb
    Sender("auvik", "Auvik", when="alertId alertName alertStatusString",
           name="{alertName}: {entityName}; alertName", severity="alertSeverityString",
           occurred="date", identity="alertId", closed="alertStatusString=cleared; alertStatus=1",
           link="link"),
    # keep libre_nms_provider/alerts_mock.py
    Sender("librenms", "LibreNMS", when="alert_id sysName faults",
           name="title; {rule} on {hostname}", severity="severity", occurred="timestamp",
           identity="rule_id+device_id, alert_id", closed="state=0|recovered; status=recovered"),
    # keep netdata_provider/netdata_provider.py
    Sender("netdata", "Netdata", when="alert chart context space severity",
           name="message; info; alert", severity="severity", words="clear=info", occurred="date",
           identity="alert+chart+host", closed="severity=clear", link="alert_url"),
    # sensu/sensu-docs content/sensu-go/6.9/observability-pipeline/observe-events/events.md
    Sender("sensu", "Sensu Go", when="check.metadata.name entity.metadata.name",
           name="{check.metadata.name} on {entity.metadata.name}: {check.output}; "
                "{check.metadata.name} on {entity.metadata.name}",
           severity="check.status", words="0=info, 1=medium, 2=critical, 3=unknown",
           occurred="timestamp", identity="entity.metadata.name+check.metadata.name",
           closed="check.status=0"),
    # alerta tests/test_webhooks.py
    Sender("riemann", "Riemann", when="host service state metric", weak=True,
           name="{service} on {host}: {description}; {service} on {host} is {state}",
           severity="state", occurred="time", identity="host+service", closed="state=ok"),
    # oncall kapacitor.py; pagertree kapacitor/v3_test.rb
    Sender("kapacitor", "Kapacitor", when="level id message data.series", family="kapacitor",
           name="message; id", severity="level", occurred="time", identity="id", closed="level=ok"),
    Sender("kapacitor-short", "Kapacitor, without data", weak=True, family="kapacitor",
           when="level id message details time=20* !name !title !status", name="message; id",
           severity="level", occurred="time", identity="id", closed="level=ok"),
    # alerta tests/test_webhooks.py
    Sender("vmware-vrops", "VMware Aria Operations",
           when="alertId adapterKind resourceKind criticality",
           name="{info} ({resourceName}); {type} ({resourceName})", severity="criticality",
           words="alert_criticality_level_critical=critical, "
                 "alert_criticality_level_immediate=high, alert_criticality_level_warning=medium, "
                 "alert_criticality_level_info=info",
           occurred="startDate", identity="alertId", closed="status=canceled|cancelled"),
    # aws/aws-lambda-go events/testdata/cloudwatch-alarm-sns-payload-single-metric.json; the event:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    Sender("aws-cloudwatch-alarm", "AWS CloudWatch alarm", when="AlarmName NewStateValue",
           family="aws-cloudwatch", name="{AlarmName} is {NewStateValue}",
           occurred="StateChangeTime", identity="AlarmArn, AlarmName+AWSAccountId, AlarmName",
           closed="NewStateValue=ok"),
    Sender("aws-cloudwatch-alarm-event", "AWS CloudWatch alarm, by EventBridge",
           when="detail-type=CloudWatch* source=aws.cloudwatch detail.alarmName",
           family="aws-cloudwatch", name="{detail.alarmName} is {detail.state.value}",
           occurred="detail.state.timestamp, time", identity="resources.0, detail.alarmName",
           closed="detail.state.value=ok"),
    # alerta webhooks/stackdriver.py
    Sender("gcp-monitoring", "Google Cloud Monitoring",
           when="incident.incident_id incident.policy_name",
           name="incident.summary; incident.condition_name", severity="incident.severity",
           words="no severity=unknown", occurred="incident.started_at",
           identity="incident.incident_id", closed="incident.state=closed", link="incident.url"),
    # keep signalfx_provider/signalfx_provider.py
    Sender("splunk-observability", "Splunk Observability Cloud", when="incidentId detectorUrl",
           name="messageTitle; inputs.messageTitle; detector; inputs.description",
           severity="severity", occurred="timestamp", identity="incidentId",
           closed="status=ok|manually resolved|stopped; statusExtended=ok|stopped|"
                  "manually_resolved",
           link="detectorUrl"),
    # keep coralogix_provider/alerts_mock.py
    Sender("coralogix", "Coralogix", when="alert_id alert_action alert_url",
           name="name; description", severity="alert_severity",
           identity="alert_unique_identifier, alert_id", closed="alert_action=resolve|resolved",
           link="alert_url"),
    # honeycombio/examples webhook-listener-triggers
    Sender("honeycomb", "Honeycomb trigger", when="trigger_url result_groups_triggered status",
           name="summary; name", identity="id", closed="status=ok", link="trigger_url"),
    # keep axiom_provider/alerts_mock.py
    Sender("axiom", "Axiom", when="action event.monitorID", name="event.title",
           occurred="event.timestamp", identity="event.monitorID", closed="action=closed|close"),
    # keep dash0_provider/alerts_mock.py
    Sender("dash0", "Dash0", when="type=alert.* data.issue.issueIdentifier",
           name="data.issue.summary", severity="data.issue.severity", occurred="data.issue.start",
           identity="data.issue.id", closed="type=alert.resolved; data.issue.status=resolved",
           link="data.issue.url"),
    # telegraf webhooks/papertrail/papertrail_webhooks_models.go
    Sender("papertrail", "Papertrail", when="saved_search events", events="events",
           name="{parent.saved_search.name}: {message}; message", severity="severity",
           occurred="received_at", identity="id", link="parent.saved_search.html_search_url"),
    # PagerTree/pager_tree-integrations test/fixtures/files/models/pager_tree/integrations/sentry:
    # event_alert.json, issue.json, error.json, metric_alert.json, webhook.json
    Sender("sentry-event-alert", "Sentry event alert", when="data.event data.triggered_rule",
           family="sentry", name="data.event.title; data.event.metadata.title",
           severity="data.event.level", occurred="data.event.timestamp, data.event.datetime",
           identity="data.event.issue_id, data.event.event_id", link="data.event.web_url"),
    Sender("sentry-issue", "Sentry issue", when="data.issue.shortId action", family="sentry",
           name="data.issue.title; data.issue.metadata.title", severity="data.issue.level",
           occurred="data.issue.lastSeen, data.issue.firstSeen", identity="data.issue.id",
           closed="action=resolved|ignored|archived; data.issue.status=resolved",
           link="data.issue.web_url, data.issue.permalink"),
    Sender("sentry-error", "Sentry error", when="data.error.issue_id action", family="sentry",
           name="data.error.title", severity="data.error.level", occurred="data.error.datetime",
           identity="data.error.issue_id, data.error.event_id", link="data.error.web_url"),
    Sender("sentry-metric-alert", "Sentry metric alert", when="data.metric_alert action",
           name="data.description_title; data.metric_alert.alert_rule.name", severity="action",
           words="resolved=info",
           occurred="data.metric_alert.date_started, data.metric_alert.date_detected",
           identity="data.metric_alert.id", closed="action=resolved", link="data.web_url"),
    Sender("sentry-legacy", "Sentry, legacy plugin", when="project_slug culprit event",
           family="sentry", name="event.title; message; culprit", severity="level, event.level",
           occurred="event.timestamp, event.received", identity="id", link="url"),
    # telegraf webhooks/rollbar/rollbar_webhooks_events_json_test.go; levels:
    # https://docs.rollbar.com/docs/webhooks
    Sender("rollbar", "Rollbar", when="event_name data.item", name="data.item.title",
           severity="data.item.level", words="50=critical, 40=high, 30=medium, 10-20=info",
           occurred="data.item.last_occurrence_timestamp, data.occurrence.timestamp",
           identity="data.item.id", closed="event_name=resolved_item", link="data.url"),
    # pagertree honeybadger/v3_test.rb
    Sender("honeybadger", "Honeybadger", when="message event project.unresolved_fault_count",
           name="message", occurred="fault.last_notice_at, outage.down_at",
           identity="fault.id, site.id, check_in.id", closed="event=resolved|up|check_in_reporting",
           link="fault.url, site.details_url, check_in.details_url"),
    # panther-analysis rules/mongodb_rules
    Sender("mongodb-atlas", "MongoDB Atlas", when="eventTypeName groupId",
           name="{eventTypeName}: {clusterName, hostnameAndPort, username}; eventTypeName",
           occurred="created, updated", identity="id", closed="status=closed|cancelled"),
    # keep netbox_provider/alerts_mock.py
    Sender("netbox", "NetBox", when="model request_id username data.display",
           name="{model} {event}: {data.display, data.name}; {model} {event}", occurred="timestamp",
           link="data.display_url"),

    # https://docs.sysdig.com/en/configure-a-webhook-channel.html; severities count from 0 to 7.
    Sender("sysdig-monitor", "Sysdig Monitor", when="timespan alert.editUrl event.id condition",
           name="alert.name", severity="alert.severity",
           words="0-3=high, 4-5=medium, 6=low, 7=info",
           occurred="timestamp", identity="event.id", closed="state=ok; resolved=true",
           link="event.url"),
    # framegrace/lodgyToDatadog test/test_lodgyAlertHandler.js
    Sender("loggly", "Loggly", when="alert_name edit_alert_link search_link num_hits",
           name="{alert_name}: {num_hits} hits", link="search_link"),
    # https://www.ibm.com/docs/en/instana-observability?topic=alerting-webhooks; the same page's
    # other formats call severity 5 a warning, and 10 is the other one.
    Sender("instana", "IBM Instana", when="issue.entityLabel issue.state",
           name="{issue.text} on {issue.entityLabel}; issue.text", severity="issue.severity",
           words="10=critical, 5=medium", occurred="issue.start, issue.end", identity="issue.id",
           closed="issue.state=closed", link="issue.link"),
    # https://servermanagementportal.ext.hpe.com/docs/concepts/redfishevents/
    Sender("redfish", "Redfish event (any sender)", when="@odata.type=#Event.* Events",
           events="Events", name="Message; MessageId", severity="MessageSeverity, Severity",
           occurred="EventTimestamp"),

    # ---- Uptime

    # pagertree pingdom/v3_test.rb
    Sender("pingdom", "Pingdom", when="check_id current_state importance_level",
           name="{check_name} is {current_state}", severity="importance_level",
           occurred="state_changed_timestamp", identity="check_id",
           closed="current_state=up|success"),
    # pagertree site24x7/v3_test.rb
    Sender("site24x7", "Site24x7", when="MONITOR_ID MONITORNAME STATUS",
           name="{MONITORNAME} is {STATUS}", occurred="OUTAGE_TIME_UNIX_FORMAT, INCIDENT_TIME_ISO",
           identity="MONITOR_ID", closed="STATUS=up", link="MONITOR_DASHBOARD_LINK"),
    # pagertree status_cake/v3_test.rb
    Sender("statuscake", "StatusCake", when="Status Name StatusCode", weak=True,
           name="{Name} is {Status}", identity="TestID, URL, Name", closed="Status=up"),
    # pagertree uptime_robot/v3_test.rb
    Sender("uptimerobot", "UptimeRobot", when="monitorFriendlyName alertType",
           name="{monitorFriendlyName} is {alertTypeFriendlyName}", occurred="alertDateTime",
           identity="monitorID", closed="alertType=2; alertTypeFriendlyName=up", link="monitorURL"),
    # pagertree uptime_kuma/v3_test.rb; a test has no heartbeat
    Sender("uptime-kuma", "Uptime Kuma", when="heartbeat monitor msg",
           name="msg; {monitor.name}: {heartbeat.msg}", occurred="heartbeat.time",
           identity="monitor.id, heartbeat.monitorID", closed="heartbeat.status=1",
           link="monitor.url"),
    # pagertree uptime/v3_test.rb
    Sender("uptime-com", "Uptime.com", when="event=alert_* data.service",
           name="{data.service.name}: {event}", occurred="data.date, data.alert.created_at",
           identity="data.service.id", closed="event=alert_cleared",
           link="data.links.alert_details"),
    # keep checkly_provider/alerts_mock.py
    Sender("checkly", "Checkly", when="alert_type check_id check_name",
           name="event; alert_title; check_name", occurred="started_at", identity="check_id",
           closed="alert_type=alert_recovery|alert_degraded_recovery", link="link"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/cronitor/v3.rb
    Sender("cronitor", "Cronitor", when="monitor type rule", weak=True,
           name="{monitor}: {type}; monitor", identity="id", closed="type=recovery",
           link="issue_url"),
    # pagertree dead_mans_snitch/v3_test.rb
    Sender("dead-mans-snitch", "Dead Man's Snitch", when="data.snitch.token type",
           name="{data.snitch.name}: {type}", occurred="timestamp", identity="data.snitch.token",
           closed="type=snitch.reporting"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/hyperping/v3.rb
    Sender("hyperping", "Hyperping", when="event=check.* check.url", name="{check.url}: {event}",
           occurred="check.date", identity="check.url", closed="event=check.up"),
    # pagertree hetrix_tools/v3_test.rb
    Sender("hetrixtools", "HetrixTools uptime", when="monitor_id monitor_name monitor_target",
           name="{monitor_name} is {monitor_status}", occurred="timestamp", identity="monitor_id",
           closed="monitor_status=online"),
    Sender("hetrixtools-usage", "HetrixTools resource usage",
           when="monitor_id monitor_name resource_usage",
           name="{monitor_name}: {resource_usage.resource_type} usage "
                "{resource_usage.current_usage}%",
           occurred="timestamp"),
    Sender("hetrixtools-blacklist", "HetrixTools blacklist",
           when="blacklisted_now blacklisted_before monitor", name="Blacklist: {monitor}",
           identity="monitor", closed="blacklisted_now=0"),
    # pagertree pulsetic/v3_test.rb
    Sender("pulsetic", "Pulsetic", when="alert_type=monitor_* monitor.url",
           name="{monitor.url}: {alert_type}", identity="monitor.id",
           closed="alert_type=monitor_online"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/sixty_six_uptime/v3.rb
    Sender("hydrozen", "Hydrozen, 66Uptime", when="is_ok type monitor_id",
           name="{name} ({target}): {type}; {name} {type}", identity="type+monitor_id",
           closed="is_ok=1", link="url"),
    Sender("hydrozen-heartbeat", "Hydrozen, 66Uptime heartbeat", when="is_ok heartbeat_id",
           name="{name}: {type}; name", identity="heartbeat_id", closed="is_ok=1", link="url"),
    Sender("hydrozen-domain", "Hydrozen, 66Uptime domain", when="domain_name_id type name",
           name="{name}: {type}", link="url"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/server_guard24/v3.rb
    Sender("serverguard24", "ServerGuard24", when="check_result service_shortname server_name",
           name="{server_name} {service_name}: {check_result}", severity="check_result",
           identity="server_name+service_shortname", closed="check_result=ok"),
    # pagertree apex_ping/v3_test.rb
    Sender("apexping", "Apex Ping", when="state triggered_at check.name alert.id",
           name="{check.name} {state}", occurred="triggered_at", identity="alert.id",
           closed="state=resolved"),
    # keep betterstack_provider/alerts_mock.py
    Sender("better-stack", "Better Stack incident", when="data.type=incident data.attributes.cause",
           name="{data.attributes.name}: {data.attributes.cause}",
           occurred="data.attributes.started_at", identity="data.id",
           closed="data.attributes.status=resolved"),

    # ---- Audit logs

    # SEKOIA-docs caa13404-9243-493b-943e-9848cadb1f99 (samples)
    Sender("o365-management", "Microsoft 365 management activity",
           when="Operation Workload CreationTime", name="{Operation} by {UserId}; Operation",
           severity="Severity, AlertSeverity", occurred="CreationTime", identity="Id"),
    # SEKOIA-docs 39280bac-34d7-4fa2-a6b5-c43791eed1bc; SEKOIA
    # Azure/azure-activity-logs/tests/security.json; several records share a correlationId.
    Sender("azure-activity-log", "Azure diagnostic and activity records",
           when="operationName category resourceId",
           name="properties.alertName; properties.title; properties.eventName; properties.message; "
                "operationName.localizedValue; operationName.value; operationName",
           severity="properties.Severity, properties.severity, level",
           words="4=info, 3=medium, 2=high, 1=critical", occurred="time"),
    Sender("azure-activity-log-api", "Azure activity log",
           when="operationName channels correlationId eventTimestamp",
           name="description; operationName.localizedValue; operationName.value; operationName",
           severity="properties.Severity, properties.severity, level", occurred="eventTimestamp",
           identity="eventDataId"),
    # SEKOIA AWS/aws-cloudtrail/tests/test_insight.json
    Sender("aws-cloudtrail", "AWS CloudTrail", when="eventName eventSource eventVersion",
           name="{eventName} failed: {errorCode}; {eventName} ({eventSource})",
           occurred="eventTime", identity="eventID"),
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    Sender("aws-s3", "Amazon S3 event notification",
           when="eventSource=aws:s3 eventName s3.bucket.name",
           name="{eventName} in {s3.bucket.name}: {s3.object.key}; {eventName} in "
                "{s3.bucket.name}",
           occurred="eventTime"),
    # https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
    Sender("aws-health", "AWS Health",
           when="source=aws.health detail.eventArn detail.eventTypeCode",
           name="{detail.service} {detail.eventTypeCode}", occurred="detail.startTime, time",
           identity="detail.eventArn", closed="detail.statusCode=closed"),
    # https://docs.aws.amazon.com/macie/latest/user/findings-publish-event-schemas.html
    Sender("aws-macie", "Amazon Macie", when="source=aws.macie detail.title detail.id",
           name="detail.title", severity="detail.severity.description",
           occurred="detail.updatedAt, detail.createdAt, time", identity="detail.id",
           closed="detail.archived=true"),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-eventbridge.html
    Sender("aws-access-analyzer", "AWS IAM Access Analyzer",
           when="source=aws.access-analyzer detail.id detail.status",
           name="Access Analyzer: {detail.resource}; {detail-type}",
           occurred="detail.updatedAt, time", identity="detail.id",
           closed="detail.status=archived|resolved; detail.isDeleted=true"),
    # https://docs.aws.amazon.com/config/latest/developerguide/ (monitoring with EventBridge)
    Sender("aws-config", "AWS Config", when="configRuleName newEvaluationResult",
           name="{configRuleName}: {newEvaluationResult.complianceType} {resourceId}; "
                "{configRuleName}: {newEvaluationResult.complianceType}",
           occurred="notificationCreationTime", identity="configRuleName+resourceId",
           closed="newEvaluationResult.complianceType=compliant"),
    # googleapis/google-cloudevents testdata/google/events/cloud/audit/v1; SEKOIA Google
    # Cloud/Google Cloud Load Balancing/tests/denied.json
    Sender("gcp-audit-log", "Google Cloud audit log", when="protoPayload insertId logName",
           name="{protoPayload.methodName} by {protoPayload.authenticationInfo.principalEmail}; "
                "protoPayload.methodName",
           severity="severity", occurred="timestamp", identity="insertId"),
    Sender("gcp-log-entry", "Google Cloud log entry",
           when="insertId logName resource.type !protoPayload",
           name="jsonPayload.message; jsonPayload.MESSAGE; textPayload; {resource.type}: "
                "{jsonPayload.enforcedSecurityPolicy.outcome}; {resource.type} log",
           severity="severity", occurred="timestamp", identity="insertId"),
    # SEKOIA Google Cloud/google-report/tests/test_vault_service.json
    Sender("google-workspace-report", "Google Workspace report",
           when="kind=admin#reports#activity events",
           name="{events.0.name} by {actor.email}; events.0.name", occurred="id.time",
           identity="id.uniqueQualifier"),
    # panther-analysis rules/github_rules/github_advanced_security_change.yml
    Sender("github-audit", "GitHub audit log", when="action actor _document_id @timestamp",
           name="{action} by {actor}: {repo, org}; {action} by {actor}",
           occurred="created_at, @timestamp", identity="_document_id"),
    # SEKOIA Kubernetes/audit-log/tests/event_user_exec_in_pod.json
    Sender("kubernetes-audit", "Kubernetes audit", when="auditID verb objectRef",
           name="{verb} {objectRef.resource} {objectRef.name} by {user.username}; {verb} "
                "{objectRef.resource} by {user.username}; {verb} {objectRef.resource}",
           occurred="stageTimestamp, requestReceivedTimestamp", identity="auditID+stage"),
    Sender("kubernetes-audit-path", "Kubernetes audit of a path",
           when="auditID verb requestURI !objectRef",
           name="{verb} {requestURI} by {user.username}; {verb} {requestURI}",
           occurred="stageTimestamp, requestReceivedTimestamp", identity="auditID+stage"),
    # SEKOIA 1Password/1password-epm/tests: test_audit_events.json, test_item_usage_events.json,
    # test_sign_in_attempts.json
    Sender("onepassword", "1Password audit", when="actor_uuid object_type action",
           name="{action} {object_type} by {actor_details.name, actor_uuid}", occurred="timestamp",
           identity="uuid"),
    Sender("onepassword-usage", "1Password item usage", when="vault_uuid item_uuid user",
           name="Item {action} by {user.name}", occurred="timestamp", identity="uuid"),
    Sender("onepassword-signin", "1Password sign-in", when="session_uuid target_user category",
           name="Sign-in {category} by {target_user.name}", occurred="timestamp", identity="uuid"),
    # panther-analysis rules: slack_rules/slack_ekm_slackbot_unenrolled.yml,
    # notion_rules/notion_login.yml, openai_rules/openai_login_failed.yml,
    # gravitational_teleport_rules/teleport_role_created.yml,
    # databricks_rules/databricks_terms_of_service_changes.yml,
    # snowflake_rules/snowflake_stream_login_success.yml
    Sender("slack-audit", "Slack audit", when="date_create actor.type entity.type action",
           name="{action} by {actor.user.email, actor.user.name}; action", occurred="date_create",
           identity="id"),
    Sender("notion-audit", "Notion audit", when="event.type event.actor event.workspace_id",
           name="{event.type} by {event.actor.person.email}; event.type",
           occurred="event.timestamp", identity="event.id"),
    Sender("openai-audit", "OpenAI audit", when="effective_at actor type",
           name="{type} by {actor.session.user.email}; type", occurred="effective_at",
           identity="id"),
    Sender("teleport", "Teleport", when="event code=T* uid cluster_name",
           name="{event} by {user}: {code}; {event} {code}", occurred="time", identity="uid"),
    Sender("databricks-audit", "Databricks audit", when="actionName serviceName userIdentity",
           name="{serviceName} {actionName} by {userIdentity.email}; {serviceName} {actionName}",
           occurred="timestamp"),
    Sender("snowflake-login", "Snowflake login", when="EVENT_TIMESTAMP EVENT_TYPE USER_NAME",
           name="{EVENT_TYPE} by {USER_NAME}", occurred="EVENT_TIMESTAMP", identity="EVENT_ID"),
    # SEKOIA Salesforce/salesforce-events/tests/salesforce_login_event_1.json
    Sender("salesforce-event", "Salesforce event log", when="EVENT_TYPE TIMESTAMP_DERIVED",
           name="{EVENT_TYPE} by {USER_ID, USER_NAME}; EVENT_TYPE",
           occurred="TIMESTAMP_DERIVED, TIMESTAMP"),
    # panther-analysis rules/osquery_rules/osquery_outdated.yml
    Sender("osquery", "osquery", when="hostIdentifier calendarTime name",
           name="{name} {action} on {hostIdentifier}; {name} on {hostIdentifier}",
           occurred="unixTime, calendarTime"),
    # SEKOIA Windows/windows/tests (as NXLog sends them)
    Sender("windows-event", "Windows event", when="EventID Channel EventTime",
           name="{Message}; {SourceName} event {EventID} on {Hostname}", severity="Severity, Level",
           occurred="UtcTime, EventTime", identity="Hostname+Channel+RecordNumber"),
    Sender("windows-event-log", "Windows event, by its provider",
           when="EventID ProviderName Hostname !Channel",
           name="{Message}; {ProviderName} event {EventID} on {Hostname}",
           severity="Level, Severity", occurred="EventTime"),
    # SEKOIA OCSF/ocsf/tests/test_compliance_finding_1.json; severities: https://schema.ocsf.io
    Sender("ocsf", "OCSF (Amazon Security Lake and others)", when="class_uid metadata.product",
           name="{finding_info.title, finding.title}; {class_name}: {activity_name}; {class_name, "
                "category_name}; type_name",
           severity="severity, severity_id", words="1=info, 2=low, 3=medium, 4=high, 5-6=critical",
           occurred="time", identity="finding_info.uid, finding.uid, metadata.uid",
           closed="status=resolved|suppressed", link="finding_info.src_url"),
    # SEKOIA-docs 7b6d0592-9e0e-4db0-adf0-c9ab2d5c2162
    Sender("ecs", "Elastic Common Schema (Beats, Elastic agents)",
           when="@timestamp ecs.version !kibana.alert.uuid",
           name="rule.name; message; event.reason; event.action", occurred="@timestamp",
           identity="event.id"),
    # SEKOIA CrowdStrike/crowdstrike-telemetry/tests/telemetry_event_6.json
    Sender("crowdstrike-fdr", "CrowdStrike Falcon Data Replicator", when="event_simpleName aid cid",
           name="event_simpleName", occurred="timestamp, ContextTimeStamp", identity="id"),
    # SEKOIA AWS/aws-flow-logs/tests/reject_structured.json
    Sender("aws-flow-log", "AWS VPC flow log", when="interface_id srcaddr dstaddr action",
           name="{action} {srcaddr} to {dstaddr}:{dstport}", occurred="start"),
    # panther-analysis rules/box_rules
    Sender("box-event", "Box enterprise event", when="event_id event_type created_by.login",
           name="{event_type} by {created_by.name}; event_type", occurred="created_at",
           identity="event_id"),

    # ---- Code and delivery

    # go-playground/webhooks bitbucket/payload.go
    Sender("bitbucket", "Bitbucket Cloud", when="header:x-event-key repository",
           name="{headers.x-event-key} {repository.full_name}: {pullrequest.title, issue.title} by "
                "{actor.display_name}; {headers.x-event-key} {repository.full_name} by "
                "{actor.display_name}; {headers.x-event-key} {repository.full_name, "
                "repository.name}",
           occurred="push.changes.0.new.target.date, pullrequest.updated_on, "
                    "pullrequest.created_on, issue.updated_on, issue.created_on, date",
           identity="headers.x-request-uuid",
           link="pullrequest.links.html.href, issue.links.html.href, repository.links.html.href"),
    # go-scm stash/testdata/webhooks/pr_open_iso_dates.json
    Sender("bitbucket-server", "Bitbucket Data Center", when="eventKey actor date",
           name="{eventKey} {pullRequest.title, repository.name} by {actor.displayName}; "
                "{eventKey} by {actor.displayName}",
           occurred="date", identity="pullRequest.toRef.repository.id+pullRequest.id",
           closed="eventKey=pr:merged|pr:declined|pr:deleted",
           link="pullRequest.links.self.0.href"),
    # go-scm azure/testdata/webhooks/push.json
    Sender("azure-devops", "Azure DevOps", when="publisherId eventType resource",
           name="message.text; eventType", occurred="createdDate", identity="id",
           link="resource._links.web.href"),
    # go-scm gitea/webhook.go
    Sender("gitea", "Gitea, Forgejo", when="header:x-gitea-event repository",
           name="{headers.x-gitea-event} {action} in {repository.full_name}: {issue.title, "
                "pull_request.title}; {headers.x-gitea-event} in {repository.full_name}",
           identity="headers.x-gitea-delivery",
           link="issue.html_url, pull_request.html_url, compare_url"),
    # jenkinsci/notification-plugin src/main/java/com/tikal/hudson/plugins/notification/model
    Sender("jenkins", "Jenkins", when="build.phase build.full_url name",
           name="{name} #{build.number} {build.status, build.phase}", severity="build.status",
           words="failure=medium, unstable=low, success=info", occurred="build.timestamp",
           identity="name", closed="build.status=success", link="build.full_url"),
    # hashicorp/terraform-docs-common
    # website/docs/cloud-docs/api-docs/notification-configurations.mdx
    Sender("terraform-cloud", "HCP Terraform", when="run_id workspace_name notifications",
           name="{workspace_name}: {notifications.0.message}",
           occurred="notifications.0.run_updated_at", link="run_url"),
    # fluxcd/notification-controller internal/notifier/google_pubsub_test.go
    Sender("flux", "Flux", when="involvedObject reason reportingController message",
           name="{involvedObject.kind} {involvedObject.name}: {message}; message",
           severity="severity", occurred="timestamp"),
    # go-playground/webhooks testdata/docker/docker_hub_build_notice.json
    Sender("docker-hub", "Docker Hub", when="push_data repository callback_url",
           name="{repository.repo_name}:{push_data.tag} pushed by {push_data.pusher}",
           occurred="push_data.pushed_at", identity="callback_url", link="repository.repo_url"),
    # telegraf webhooks/artifactory/artifactory_webhook_models.go
    Sender("artifactory", "JFrog Artifactory", when="domain event_type data.repo_key",
           name="{domain} {event_type}: {data.repo_key}/{data.path, data.name}; {domain} "
                "{event_type}: {data.repo_key}"),
    # hookdeck vercel-webhooks/references/overview.md
    Sender("vercel", "Vercel", when="type=deployment.* payload.deployment createdAt",
           name="{type}: {payload.deployment.name, payload.name}; type", occurred="createdAt",
           identity="payload.deployment.id, id", closed="type=deployment.succeeded",
           link="payload.links.deployment"),
    # https://linear.app/developers/webhooks
    Sender("linear", "Linear", when="organizationId webhookTimestamp type data",
           name="data.title; {type} {action}: {data.body}; {type} {action}",
           severity="data.priority", words="1=critical, 2=high, 3=medium, 4=low, 0=unknown",
           occurred="createdAt", identity="data.id",
           closed="data.state.type=completed|canceled; action=remove", link="url"),

    # ---- Messages, mail, forms, money

    # slackapi/java-slack-sdk json-logs/samples:
    # events/MessageChannelPostingPermissionsPayload.json,
    # app-backend/slash-commands/SlashCommandPayload.json; pagertree slack/webhook/v3_test.rb
    Sender("slack-event", "Slack event", when="type=event_callback event team_id",
           name="{event.type} in {event.channel}: {event.text}; {event.type} in {event.channel}; "
                "event.type",
           occurred="event.ts, event_time", identity="event_id"),
    Sender("slack-command", "Slack command", when="command trigger_id team_domain",
           name="{command} {text}; command", occurred="headers.x-slack-request-timestamp",
           identity="trigger_id", answer="empty"),
    # https://docs.slack.dev/interactivity/handling-user-interaction
    Sender("slack-interaction", "Slack interaction", when="type trigger_id api_app_id user.id",
           name="{type}: {actions.0.action_id, callback_id, view.callback_id} by "
                "{user.username, user.name, user.id}; type",
           occurred="headers.x-slack-request-timestamp", identity="trigger_id", answer="empty"),
    Sender("slack-outgoing", "Slack outgoing webhook",
           when="team_domain service_id channel_name text", name="text", occurred="timestamp",
           answer="empty"),
    # MicrosoftDocs/msteams-docs
    # msteams-platform/webhooks-and-connectors/how-to/add-outgoing-webhook.md
    Sender("teams-outgoing", "Microsoft Teams outgoing webhook",
           when="channelId=msteams conversation text", name="{from.name}: {text}; text",
           occurred="timestamp", identity="conversation.id+id"),
    # https://circleci.com/docs/webhooks-reference/
    Sender("circleci", "CircleCI", when="happened_at webhook.name project.slug",
           name="{project.slug} {job.name, workflow.name}: {job.status, workflow.status}; {type}",
           occurred="happened_at", identity="job.id, workflow.id", link="workflow.url"),
    # https://developer.webex.com/docs/api/guides/webhooks
    Sender("webex", "Webex", when="resource event actorId data",
           name="{resource} {event} by {data.personEmail}; {resource} {event}",
           occurred="data.created, created"),
    # zoom/webhook-sample README.md
    Sender("zoom", "Zoom", when="event payload event_ts",
           name="{event}: {payload.object.topic}; event", occurred="event_ts"),
    # pagertree mattermost/outgoing_webhook/v3_test.rb
    Sender("mattermost-outgoing", "Mattermost outgoing webhook",
           when="team_domain channel_name post_id trigger_word", name="text", occurred="timestamp",
           identity="post_id"),
    # PagerTree/pager_tree-integrations app/models/pager_tree/integrations/twilio/incoming_sms/v3.rb
    # and https://www.twilio.com/docs/usage/troubleshooting/debugging-event-webhooks
    Sender("twilio-sms", "Twilio SMS", when="MessageSid AccountSid From Body",
           name="SMS from {From}: {Body}", identity="MessageSid", answer="twiml"),
    # https://www.twilio.com/docs/usage/webhooks/voice-webhooks
    Sender("twilio-call", "Twilio call", when="CallSid AccountSid CallStatus From To",
           name="Call from {From} to {To}: {CallStatus}", occurred="Timestamp",
           identity="CallSid", closed="CallStatus=completed|busy|failed|no-answer|canceled",
           answer="twiml"),
    Sender("twilio-debugger", "Twilio debugger", when="PayloadType Sid Level AccountSid",
           name="Twilio {Level} {Sid}", severity="Level", occurred="Timestamp", identity="Sid"),
    # django-anymail anymail/webhooks/mailgun.py and tests: test_sparkpost_webhooks.py,
    # test_mailjet_webhooks.py, test_brevo_webhooks.py; what happens to one mail has one message id,
    # so that it identifies no event.
    Sender("mailgun", "Mailgun", when="event-data signature.timestamp",
           name="{event-data.event}: {event-data.recipient}; event-data.event",
           occurred="event-data.timestamp", identity="event-data.id"),
    Sender("sparkpost", "SparkPost", when="msys",
           name="{msys.message_event.type, msys.track_event.type, msys.gen_event.type, "
                "msys.unsubscribe_event.type}: {msys.message_event.rcpt_to, "
                "msys.track_event.rcpt_to, msys.gen_event.rcpt_to, "
                "msys.unsubscribe_event.rcpt_to}; msys.relay_message.content.subject",
           occurred="msys.message_event.timestamp, msys.track_event.timestamp, "
                    "msys.gen_event.timestamp, msys.unsubscribe_event.timestamp",
           identity="msys.message_event.event_id, msys.track_event.event_id, "
                    "msys.gen_event.event_id, msys.unsubscribe_event.event_id"),
    Sender("mailjet", "Mailjet", when="mj_campaign_id event MessageID",
           name="{event}: {email}; event", occurred="time"),
    Sender("brevo", "Brevo", when="event message-id email",
           name="{event}: {email} {subject}; {event}: {email}", occurred="ts_epoch, ts_event, ts"),
    # hookdeck sendgrid-webhooks and resend-webhooks, references/overview.md
    Sender("sendgrid", "SendGrid", when="sg_event_id event email", name="{event}: {email}",
           occurred="timestamp", identity="sg_event_id"),
    Sender("resend", "Resend", when="type=email.* data.email_id",
           name="{type}: {data.subject}; type", occurred="created_at", identity="headers.svix-id"),
    # webhookdb/webhookdb spec/webhookdb/replicator/postmark_outbound_message_event_v1_spec.rb
    Sender("postmark", "Postmark", when="RecordType MessageID",
           name="{RecordType}: {Subject, Email, Recipient}; {RecordType}: {Description}; "
                "RecordType",
           occurred="BouncedAt, ReceivedAt, DeliveredAt, ChangedAt"),
    # telegraf webhooks/mandrill/testdata/send_event.json
    Sender("mandrill", "Mandrill", when="msg.subject event ts _id",
           name="{event}: {msg.subject} to {msg.email}; {event}: {msg.email}", occurred="ts"),
    # pagertree typeform/v3_test.rb and jotform/v3_test.rb
    Sender("typeform", "Typeform", when="event_type=form_response form_response",
           name="{form_response.definition.title} response; Form {form_response.form_id} response",
           occurred="form_response.submitted_at", identity="form_response.token"),
    Sender("jotform", "Jotform", when="formID submissionID",
           name="formTitle; Submission {submissionID}", identity="submissionID"),
    # panther-analysis rules/docusign_rules
    Sender("docusign", "DocuSign", when="event generatedDateTime data.envelopeId",
           name="{event}: {data.envelopeSummary.emailSubject}; {event} {data.envelopeId}",
           occurred="generatedDateTime", identity="data.envelopeId",
           closed="data.envelopeSummary.status=completed|voided|declined"),
    # box/developer.box.com content/guides/webhooks/v2
    Sender("box", "Box webhook", when="trigger source webhook type=webhook_event",
           name="{trigger}: {source.name} by {created_by.name}; {trigger}: {source.id}; trigger",
           occurred="created_at", identity="id"),
    # hookdeck stripe-webhooks/references/overview.md
    Sender("stripe", "Stripe", when="object=event api_version data.object",
           name="{type} {data.object.id}; type", occurred="created", identity="id"),
    # https://developer.xero.com/documentation/webhooks/overview; the names are those of
    # XeroAPI/Xero-OpenAPI xero-webhooks.yaml
    Sender("xero", "Xero", when="firstEventSequence lastEventSequence entropy", events="events",
           name="{eventCategory} {eventType}; Intent to receive, up to event {lastEventSequence}",
           occurred="eventDateUtc", link="resourceUrl", answer="empty"),
    # abrarsheikhsony/SFDC-outbound-message README.md; SOAP API, outbound messaging
    Sender("salesforce-outbound", "Salesforce outbound message",
           when="xml.Envelope.Body.notifications.OrganizationId "
                "xml.Envelope.Body.notifications.ActionId "
                "xml.Envelope.Body.notifications.Notification",
           events="xml.Envelope.Body.notifications.Notification",
           name="{sObject.@type}: {sObject.Subject, sObject.Name, sObject.Id}; "
                "{xml.Envelope.Body.notifications.Notification.sObject.@type}: "
                "{xml.Envelope.Body.notifications.Notification.sObject.Subject, "
                "xml.Envelope.Body.notifications.Notification.sObject.Name, "
                "xml.Envelope.Body.notifications.Notification.sObject.Id}",
           severity="sObject.Priority, "
                    "xml.Envelope.Body.notifications.Notification.sObject.Priority",
           occurred="sObject.LastModifiedDate, sObject.CreatedDate, "
                    "xml.Envelope.Body.notifications.Notification.sObject.LastModifiedDate, "
                    "xml.Envelope.Body.notifications.Notification.sObject.CreatedDate",
           identity="Id, xml.Envelope.Body.notifications.Notification.Id", answer="salesforce"),
    # What many tools post for a chat: https://api.slack.com/reference/messaging/attachments
    Sender("slack-attachment", "Slack message with an attachment (any sender)",
           when="attachments.0.color", weak=True,
           name="attachments.0.title; attachments.0.fallback; attachments.0.pretext; text; "
                "attachments.0.text",
           occurred="attachments.0.ts", link="attachments.0.title_link"),
    Sender("slack-titled", "Slack message with a linked title (any sender)",
           when="attachments.0.title_link !attachments.0.color", weak=True,
           name="attachments.0.title; attachments.0.fallback; text", occurred="attachments.0.ts",
           link="attachments.0.title_link"),
    # https://api.slack.com/reference/block-kit/blocks
    Sender("slack-blocks", "Slack message of blocks (any sender)",
           when="blocks.0.type blocks.0.text.text", weak=True,
           name="blocks.0.text.text"),
    # https://discord-api-types.dev/api/0.37.99/discord-api-types-v9/interface/APIEmbed
    Sender("discord", "Discord message (any sender)", when="embeds.0.title", weak=True,
           name="embeds.0.title", occurred="embeds.0.timestamp", link="embeds.0.url"),
    # https://gist.github.com/ashiqf/f56807e914f1e40b3f581247276f183c
    Sender("teams-card", "Microsoft Teams card (any sender)",
           when="type=message attachments.0.contentType=application/vnd.microsoft.card.adaptive",
           name="attachments.0.content.body.0.text; attachments.0.content.body.0.items.0.text; "
                "attachments.0.content.body.1.text; summary"),

    # ---- Formats of security logs

    # SEKOIA CEF/cef/tests; the header counts from 0 to 10, and may have words.
    Sender("cef", "Common Event Format (any sender)",
           when="cef.device_vendor cef.device_product cef.signature_id", weak=True,
           name="cef.name; {cef.device_product}: {cef.signature_id}", severity="cef.severity",
           words="9-10=critical, 7-8=high, 4-6=medium, 0-3=low",
           occurred="cef.extension.rt, cef.extension.end, cef.extension.start"),
    # https://www.ibm.com/docs/en/dsm?topic=leef-overview; `sev` counts from 1 to 10.
    Sender("leef", "Log Event Extended Format (any sender)",
           when="leef.device_vendor leef.device_product leef.signature_id", weak=True,
           name="{leef.device_product}: {leef.signature_id}", severity="leef.extension.sev",
           words="9-10=critical, 7-8=high, 4-6=medium, 1-3=low", occurred="leef.extension.devTime"),

    # ---- Envelopes of last resort

    # https://www.standardwebhooks.com, https://docs.svix.com/receiving/verifying-payloads/how
    Sender("standard-webhooks", "Standard Webhooks (any sender)", weak=True,
           family="standard-webhooks", when="header:webhook-id type data !id", occurred="timestamp",
           name="{type}: {data.name, data.title, data.email, data.id}; type",
           identity="headers.webhook-id"),
    Sender("svix", "Svix (any sender)", weak=True, family="standard-webhooks",
           when="header:svix-id type data !id", occurred="timestamp",
           name="{type}: {data.name, data.title, data.email, data.id}; type",
           identity="headers.svix-id"),
)
