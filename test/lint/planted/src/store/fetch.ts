export const get = (): unknown => fetch('http://localhost');
