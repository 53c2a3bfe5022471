export interface Item {
  sku: string;
  quantity: number;
  cents: number;
}

export interface Order {
  id: string;
  customer: string;
  items: Item[];
}

export interface Payment {
  id: string;
  cents: number;
}

export interface Receipt {
  orderId: string;
  payment: Payment;
  tracking: string;
}

export function euros(cents: number): string {
  return `${(cents / 100).toFixed(2)} EUR`;
}
