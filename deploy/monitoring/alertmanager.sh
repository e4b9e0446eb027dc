#!/bin/sh
# Writes Alertmanager's configuration from the settings of .env, and starts it. Runs in its container.
set -eu

config=/alertmanager/alertmanager.yml
# As YAML takes a text: in single quotes, those inside doubled.
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

{
    echo 'global:'
    echo '  resolve_timeout: 5m'
    if [ -n "$SMTP_SERVER" ]; then
        echo "  smtp_smarthost: $(quoted "$SMTP_SERVER")"
        echo "  smtp_from: $(quoted "${SMTP_FROM:-marketplace@${SMTP_SERVER%:*}}")"
        echo "  smtp_require_tls: $SMTP_TLS"
        if [ -n "$SMTP_USER" ]; then
            echo "  smtp_auth_username: $(quoted "$SMTP_USER")"
            echo '  smtp_auth_password_file: /run/secrets/smtp_password'
        fi
    fi
    cat <<END
route:
  receiver: operator
  group_by: [alertname]
  group_wait: ${ALERT_WAIT:-30s}
  group_interval: 5m
  repeat_interval: 12h
  routes:
    - matchers: [severity = critical]
      group_wait: 10s
      repeat_interval: 1h
inhibit_rules:
  # What follows from an outage that is known.
  - source_matchers: [alertname = MarketplaceAway]
    target_matchers: [alertname =~ "InstanceAway|ManyFailures|SlowAnswers|NothingTidied"]
receivers:
  - name: operator
END
    # An address each, separated by commas.
    if [ -n "$ALERT_EMAIL" ]; then
        echo '    email_configs:'
        echo "      - to: $(quoted "$ALERT_EMAIL")"
        echo '        send_resolved: true'
    fi
    if [ -n "$ALERT_WEBHOOK" ]; then
        echo '    webhook_configs:'
        echo "      - url: $(quoted "$ALERT_WEBHOOK")"
        echo '        send_resolved: true'
    fi
} >"$config"
[ -n "$ALERT_EMAIL$ALERT_WEBHOOK" ] || echo 'nobody hears of alerts: set ALERT_EMAIL or ALERT_WEBHOOK in .env' >&2
exec alertmanager --config.file="$config" --storage.path=/alertmanager --web.external-url="${PUBLIC_URL%/}" \
    --web.route-prefix=/ --cluster.listen-address=
