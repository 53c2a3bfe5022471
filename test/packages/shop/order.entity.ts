import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('orders')
export class Order {
  @PrimaryColumn({ type: 'int' })
  id!: number;

  @Column({ type: 'int' })
  cents!: number;
}
