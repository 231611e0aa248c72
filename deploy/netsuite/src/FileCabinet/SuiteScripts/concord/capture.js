/**
 * What becomes of one event while its save waits: sent within the budget, or left in the outbox. Never an error.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./envelope'], (envelope) => {
    /** What sending and then, perhaps, keeping costs: request, breaker, row. */
    const DIRECT_UNITS = 25;
    const ROW_UNITS = 6;

    const quietly = (action) => {
        try {
            return action();
        } catch (_) {
            return undefined;
        }
    };

    /** An error's name, as a code: the message may quote what users typed. */
    const codeOf = (error) => String((error && error.name) || 'UNNAMED').replace(/[^A-Za-z0-9_]/g, '').slice(0, 100);

    const mayTry = (settings, ports) =>
        settings.mode === 'direct'
        && Boolean(settings.url) && Boolean(settings.secret)
        && ports.remainingUsage() >= DIRECT_UNITS
        // Scripts before ours may have used up the user's patience.
        && ports.elapsedMs() < settings.budgetMs
        && ports.breaker.admits();

    /** True once ingest has the event. A refusal and an answer that took too long both open the breaker. */
    const sent = (body, settings, ports) => {
        const began = ports.now();
        let status;
        try {
            ({ status } = ports.send(`[${body}]`));
        } catch (error) {
            status = codeOf(error);
        }
        const slow = ports.now() - began > settings.budgetMs;
        if (status === 202 && !slow) {
            ports.breaker.clear();
            return true;
        }
        ports.breaker.trip();
        const title = slow ? 'concord: ingest answers too slowly' : 'concord: ingest did not take an event';
        quietly(() => ports.log('audit', title, `code ${status}; events go to the outbox for five minutes`));
        return status === 202;
    };

    const keep = (event, said, body, ports) => {
        if (ports.remainingUsage() < ROW_UNITS) {
            throw Object.assign(new Error('no units left'), { name: 'SSS_USAGE_LIMIT_EXCEEDED' });
        }
        ports.keep({
            eventId: said.eventId, recordType: event.type, recordId: String(event.id), operation: event.operation, body,
        });
    };

    /**
     * Carries one event out of a save; answers off, sent, kept or lost. A lost event is logged by its record: polling
     * finds the change.
     */
    const carry = (event, settings, ports) => {
        if (settings.mode === 'off') return 'off';
        try {
            const said = envelope.of(event, settings.account, ports.now(), ports.random);
            const body = envelope.text(said);
            if (quietly(() => mayTry(settings, ports)) && quietly(() => sent(body, settings, ports))) return 'sent';
            keep(event, said, body, ports);
            return 'kept';
        } catch (error) {
            const which = quietly(() => `${event.type} ${event.id}`);
            quietly(() => ports.log('error', 'concord: a change was not captured', `${which}: ${codeOf(error)}`));
            return 'lost';
        }
    };

    return { carry, codeOf };
});
