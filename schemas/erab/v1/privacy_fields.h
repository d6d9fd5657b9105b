/* What each field of each body tells about people (guideline 3.7): the one table that the privacy policy judges
 * by and erab_privacy_mask() masks by. Kept beside the protos: a field without a row here, or out of the order
 * of its number, fails a test.
 *
 *   OPERATION  orders, answers, states of systems: nothing about a home
 *   MEASURED   a measured value: of a group or of a home, as the header's category says
 *   HOME       can be linked to one home, whatever the header says: presence can be inferred
 *   PERSONAL   names, addresses, contracts
 *   SECURITY   evidence, advisories, incidents
 *   SUBJECT    who or what the message is about; tells as little as an order, and names whose consent is asked
 *
 * Lines: BODY(message in lower case, FIELD(name, class)...), fields by their number. */
BODY(dispatch_slot,
     FIELD(start_ms, OPERATION)
     FIELD(end_ms, OPERATION)
     FIELD(target_kw, OPERATION)
     FIELD(level, OPERATION))

BODY(origin,
     FIELD(protocol, OPERATION)
     FIELD(id, OPERATION)
     FIELD(certificate_sha256, OPERATION)
     FIELD(document_sha256, OPERATION))

BODY(dispatch,
     FIELD(order, OPERATION)
     FIELD(modification, OPERATION)
     FIELD(mode, OPERATION)
     FIELD(start_ms, OPERATION)
     FIELD(end_ms, OPERATION)
     FIELD(slot, OPERATION)
     FIELD(product, OPERATION)
     FIELD(market_context, OPERATION)
     FIELD(resource, OPERATION)
     FIELD(priority, OPERATION)
     FIELD(origin, OPERATION))

BODY(dispatch_cancel,
     FIELD(order, OPERATION)
     FIELD(dispatch_id, OPERATION)
     FIELD(modification, OPERATION)
     FIELD(reason, OPERATION)
     FIELD(implied, OPERATION))

BODY(device_command,
     FIELD(action, OPERATION)
     FIELD(power_w, OPERATION)
     FIELD(value, OPERATION)
     FIELD(start_ms, OPERATION)
     FIELD(end_ms, OPERATION)
     FIELD(order, OPERATION))

BODY(opt,
     FIELD(decision, OPERATION)
     FIELD(order, OPERATION)
     FIELD(modification, OPERATION)
     FIELD(dispatch_id, OPERATION)
     FIELD(resource, SUBJECT)
     FIELD(reason, OPERATION)
     FIELD(start_ms, OPERATION)
     FIELD(end_ms, OPERATION))

BODY(capability,
     FIELD(resource, SUBJECT)
     FIELD(up_kw, OPERATION)
     FIELD(down_kw, OPERATION)
     FIELD(from_ms, OPERATION)
     FIELD(until_ms, OPERATION)
     FIELD(lost_kw, OPERATION)
     FIELD(reason, OPERATION))

BODY(plan_slot,
     FIELD(start_ms, OPERATION)
     FIELD(end_ms, OPERATION)
     FIELD(power_kw, OPERATION)
     FIELD(energy_kwh, OPERATION)
     FIELD(price_per_kwh, OPERATION))

BODY(plan,
     FIELD(plan, OPERATION)
     FIELD(version, OPERATION)
     FIELD(resource, SUBJECT)
     FIELD(currency, OPERATION)
     FIELD(slot, OPERATION))

BODY(baseline,
     FIELD(resource, SUBJECT)
     FIELD(method, OPERATION)
     FIELD(slot, MEASURED)
     FIELD(source_hash, OPERATION))

BODY(telemetry_point,
     FIELD(resource, SUBJECT)
     FIELD(quantity, MEASURED)
     FIELD(at_ms, MEASURED)
     FIELD(value, MEASURED)
     FIELD(quality, MEASURED)
     FIELD(members, MEASURED))

BODY(telemetry,
     FIELD(point, OPERATION)
     FIELD(order, OPERATION))

BODY(device_property,
     FIELD(name, HOME)
     FIELD(value, HOME))

BODY(device_state,
     FIELD(device, SUBJECT)
     FIELD(reachable, HOME)
     FIELD(at_ms, OPERATION)
     FIELD(action, HOME)
     FIELD(fault, HOME)
     FIELD(property, HOME))

BODY(registration,
     FIELD(resource, SUBJECT)
     FIELD(kind, OPERATION)
     FIELD(maker, OPERATION)
     FIELD(model, OPERATION)
     FIELD(firmware, OPERATION)
     FIELD(serial, HOME)
     FIELD(up_kw, OPERATION)
     FIELD(down_kw, OPERATION)
     FIELD(capacity_kwh, OPERATION)
     FIELD(protected_link, OPERATION)
     FIELD(property, HOME)
     FIELD(curve_key, OPERATION)
     FIELD(sign_key, OPERATION))

BODY(result,
     FIELD(about, OPERATION)
     FIELD(outcome, OPERATION)
     FIELD(reason, OPERATION)
     FIELD(detail, OPERATION)
     FIELD(expected_kw, OPERATION)
     FIELD(achieved_kw, MEASURED)
     FIELD(from_ms, OPERATION)
     FIELD(until_ms, OPERATION)
     FIELD(members_done, OPERATION)
     FIELD(members_failed, OPERATION))

BODY(party_key,
     FIELD(sign_key, OPERATION)
     FIELD(curve_key, OPERATION)
     FIELD(from_ms, OPERATION)
     FIELD(until_ms, OPERATION)
     FIELD(proxy, OPERATION))

BODY(party_card,
     FIELD(party, OPERATION)
     FIELD(role, OPERATION)
     FIELD(version, OPERATION)
     FIELD(key, OPERATION)
     FIELD(represented_by, OPERATION)
     FIELD(withdrawn, OPERATION))

BODY(evidence,
     FIELD(subject, SECURITY)
     FIELD(profile, SECURITY)
     FIELD(control, SECURITY)
     FIELD(issuer, SECURITY)
     FIELD(method, SECURITY)
     FIELD(from_ms, SECURITY)
     FIELD(until_ms, SECURITY)
     FIELD(document_hash, SECURITY)
     FIELD(document, SECURITY)
     FIELD(request, SECURITY))

BODY(evidence_withdrawal,
     FIELD(evidence, SECURITY)
     FIELD(reason, SECURITY))

BODY(evidence_request,
     FIELD(subject, SECURITY)
     FIELD(profile, SECURITY)
     FIELD(control, SECURITY)
     FIELD(due_ms, SECURITY)
     FIELD(pack, SECURITY))

BODY(advisory,
     FIELD(advisory, SECURITY)
     FIELD(title, SECURITY)
     FIELD(tlp, SECURITY)
     FIELD(cvss, SECURITY)
     FIELD(product, SECURITY)
     FIELD(versions, SECURITY)
     FIELD(due_ms, SECURITY)
     FIELD(action, SECURITY))

BODY(incident,
     FIELD(incident, SECURITY)
     FIELD(state, SECURITY)
     FIELD(severity, SECURITY)
     FIELD(title, SECURITY)
     FIELD(at_ms, SECURITY)
     FIELD(trigger, SECURITY)
     FIELD(party, SECURITY)
     FIELD(lost_kw, SECURITY))

BODY(breaker_notice,
     FIELD(local, SECURITY)
     FIELD(interface, SECURITY)
     FIELD(peer, SECURITY)
     FIELD(kind, SECURITY)
     FIELD(state, SECURITY)
     FIELD(at_ms, SECURITY)
     FIELD(reason, SECURITY)
     FIELD(control, SECURITY)
     FIELD(approver, SECURITY)
     FIELD(lost_kw, SECURITY))

BODY(audit_head,
     FIELD(log, SECURITY)
     FIELD(seq, SECURITY)
     FIELD(hash, SECURITY)
     FIELD(at_ms, SECURITY))

BODY(receipt_member,
     FIELD(party, OPERATION)
     FIELD(state, OPERATION)
     FIELD(reason, OPERATION))

BODY(receipt,
     FIELD(about, OPERATION)
     FIELD(about_hash, OPERATION)
     FIELD(state, OPERATION)
     FIELD(reason, OPERATION)
     FIELD(section, OPERATION)
     FIELD(detail, OPERATION)
     FIELD(retry_after_ms, OPERATION)
     FIELD(member, OPERATION)
     FIELD(shed, OPERATION))

BODY(ping,
     FIELD(protocol, OPERATION)
     FIELD(reply, OPERATION)
     FIELD(software, OPERATION)
     FIELD(ready, OPERATION)
     FIELD(takes, OPERATION))
