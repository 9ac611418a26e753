import type { ReactNode, SubmitEvent } from "react";
import { service } from "../client.js";
import { useResource } from "../resource.js";

interface Note {
  readonly id: number;
  readonly text: string;
  readonly created_at: string;
}

async function loadNotes(): Promise<Note[]> {
  return (await service.get<Note[]>("/notes")).data;
}

export function NotesPage(): ReactNode {
  const { value: notes, problem, change } = useResource(loadNotes);
  const add = async (event: SubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget;
    const text = new FormData(form).get("text");
    if (await change(() => service.post("/notes", { text }))) form.reset();
  };
  return (
    <>
      <form className="row" onSubmit={(event) => void add(event)}>
        <label htmlFor="text" className="hidden">
          A new note
        </label>
        <input id="text" name="text" placeholder="A new note" maxLength={10_000} required autoComplete="off" />
        <button type="submit" className="primary">
          Add
        </button>
      </form>
      <p role="alert">{problem}</p>
      {notes?.length === 0 && <p className="hint">You have no notes yet.</p>}
      <ul className="cards">
        {notes?.map(({ id, text, created_at }) => (
          <li key={id}>
            <div>
              <p>{text}</p>
              <time dateTime={created_at}>{new Date(created_at).toLocaleString()}</time>
            </div>
            <button
              type="button"
              className="quiet"
              aria-label={`Delete “${text}”`}
              onClick={() => void change(() => service.delete(`/notes/${id}`))}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
