/**
 * Rows of the outbox record.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['N/record', 'N/query', './outbox'], (record, query, outbox) => {
    const { RECORD, FIELD } = outbox;
    /** Most rows of one flush; the next one takes the rest. */
    const MOST_ROWS = 5000;

    const keep = (row) => {
        const kept = record.create({ type: RECORD });
        ['eventId', 'recordType', 'recordId', 'operation', 'body'].forEach((name) => {
            kept.setValue({ fieldId: FIELD[name], value: row[name] });
        });
        kept.setValue({ fieldId: FIELD.attempts, value: 0 });
        kept.setValue({ fieldId: FIELD.refused, value: false });
        return kept.save();
    };

    /** A row, or null for one that another run has sent meanwhile. */
    const load = (id) => {
        let kept;
        try {
            kept = record.load({ type: RECORD, id });
        } catch (error) {
            if (error.name === 'RCRD_DSNT_EXIST') return null;
            throw error;
        }
        return {
            id,
            eventId: kept.getValue({ fieldId: FIELD.eventId }),
            body: kept.getValue({ fieldId: FIELD.body }),
            attempts: Number(kept.getValue({ fieldId: FIELD.attempts })) || 0,
        };
    };

    const drop = (id) => record.delete({ type: RECORD, id });

    const mark = (id, { attempts, code, refused }) => record.submitFields({
        type: RECORD, id,
        values: { [FIELD.attempts]: attempts, [FIELD.code]: code, [FIELD.refused]: refused },
    });

    /** Ids of the rows that are to be sent, oldest first. */
    const waiting = () => {
        const result = query.runSuiteQL({
            query: `SELECT id FROM ${RECORD} WHERE ${FIELD.refused} IS NULL OR ${FIELD.refused} = 'F' ORDER BY id ASC`,
        });
        return result.asMappedResults().slice(0, MOST_ROWS).map((row) => row.id);
    };

    return { keep, load, drop, mark, waiting };
});
