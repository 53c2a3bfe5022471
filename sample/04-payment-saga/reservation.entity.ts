import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Goods that are kept for an order. */
@Entity('saga_reservations')
export class Reservation {
  @PrimaryColumn({ type: 'int' })
  orderNumber!: number;

  @Column({ type: 'timestamptz', default: () => 'now()' })
  reservedAt!: Date;
}
