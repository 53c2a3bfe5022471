import { currentManager, Step, Workflow } from 'nestjs-durable';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A row that a transaction writes. */
@Entity('entries')
export class Entry {
  @PrimaryColumn('text')
  id!: string;

  @Column('int')
  n!: number;
}

/** Three transactional steps that each write one row. */
@Workflow({ name: 'three-transactions' })
export class ThreeTransactions {
  async run(input: { n: number; key: string }): Promise<void> {
    for (let step = 0; step < 3; step++) await this.write(`${input.key} ${step}`, input.n);
  }

  @Step({ transactional: true })
  async write(id: string, n: number): Promise<void> {
    await currentManager().insert(Entry, { id, n });
  }
}
