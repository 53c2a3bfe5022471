/** Whether a type is `void` or `undefined`. `any`, which is assignable to both, is not. */
export type IsNothing<T> = 0 extends 1 & T ? false : [T] extends [void] ? true : false;
