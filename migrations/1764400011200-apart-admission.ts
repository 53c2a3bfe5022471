import { admissionSql, type AdmissionForm } from './1764400010001-claiming-admission.js';
import { migration } from './migration.js';

/** Largest number of runs of a key that are passed over, and of refusals of one call. */
const MOST_REFUSED = 50;

/** Classes of errors that mean that the database refuses one run, as in `database-errors.ts`. */
const REFUSALS = '^(09|2[123]|38|39|44|54|P0|42804|42846|428C9|42P18)';

/** The function of this migration. */
export const APART: AdmissionForm = {
  name: 'workflow_admit_apart',
  columns: ', refused text',
  variables: `
  arrival_before timestamptz;
  refusals integer := 0;`,
  reserve: ` + ${MOST_REFUSED}`,
  before: (label) => `${label === 'turns' ? '\n    EXIT WHEN capacity <= 0;' : ''}
    arrival_before := q.arrival_at;
    BEGIN`,
  after: (label) => `
    capacity := capacity - 1;
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE !~ '${REFUSALS}' THEN RAISE; END IF;
      q.arrival_at := arrival_before;
      run := NULL;
      run.id := candidate.id;
      is_claimed := false;
      refused := SQLERRM;
      RETURN NEXT;
      refused := NULL;
      refusals := refusals + 1;
      EXIT ${label} WHEN refusals >= ${MOST_REFUSED};
    END;`,
};

/**
 * Adds a function that admits runs like `workflow_admit_and_claim`, each in a subtransaction. A run
 * that the database refuses to change, for example because of a trigger of the application, is
 * passed over: `run` has its id, and `refused` the error. Called only after such an error, because
 * subtransactions cost time.
 */
export const ApartAdmission1764400011200 = migration(
  'ApartAdmission1764400011200',
  (schema) => admissionSql(schema, APART),
  (schema) => `
DROP FUNCTION ${schema}.workflow_admit_apart(text, text[], integer, double precision, bigint, text, integer, text[], integer[], text);
`,
);
