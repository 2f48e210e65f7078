/** The index onnxruntime names when it is handed a state that another plan or model made (state-row.ts). */
export const foreignState = 20190117;
